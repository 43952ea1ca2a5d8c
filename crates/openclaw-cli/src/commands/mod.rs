//! From the command line to the command that answers it.

mod agent;
mod auth_cooldown;
mod auth_forecast;
mod auth_import;
mod auth_list;
mod auth_login;
mod auth_order;
mod auth_paste;
mod auth_refresh;
mod auth_remove;
mod auth_why;
mod change;
mod choose_reference;
mod doctor;
mod doctor_refresh;
mod model_list;
mod model_names;
mod model_settings;
mod monitor;
mod onboard;
mod online;
mod probe;
mod secrets;
mod serve;
mod setup_ask;
mod setup_plan;
mod setup_planner;
mod sign_in;
mod status;

use std::ffi::OsString;

use auth_core::config::edit;
use auth_store::{Overlay, RealHost, State};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use self::model_settings::Setting;
use crate::args::{
    AliasesCommand, Auth, AuthCommand, Cli, Command, FallbacksCommand, FallbacksGroup, LogLevel, ModelsCommand,
    OrderCommand, innermost,
};
use crate::failure::Failure;
use crate::output::{print_text, remark};
use crate::root_options::RootOptions;
use crate::upstream::{self, Named};

/// Runs a command line and gives its exit code.
pub(crate) fn run(arguments: &[OsString]) -> u8 {
    match try_run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            remark(&failure.message);
            failure.code
        }
    }
}

/// What every command needs.
pub(crate) struct Session {
    pub(crate) host: RealHost,
    state: State,
    /// The value of `--profile`.
    profile: Option<String>,
    no_color: bool,
    log_level: LogLevel,
}

impl Session {
    fn open(profile: Option<&str>, cli: &Cli) -> Result<Self, Failure> {
        let host = RealHost;
        let state = State::load(&host, profile)?;
        let session = Self {
            host,
            state,
            profile: profile.map(str::to_owned),
            no_color: cli.root.no_color,
            log_level: cli.root.log_level,
        };
        for warning in &session.state.warnings {
            session.warn(warning);
        }
        session.debug(|| {
            let layout = &session.state.layout;
            format!(
                "[debug] state directory {}, config {}, main store {}",
                layout.shorten(layout.state_dir()),
                layout.shorten(layout.config_path()),
                layout.shorten(layout.main_store_dir())
            )
        });
        Ok(session)
    }

    /// Reads everything again as it would be without the config.
    fn forget_config(&mut self) -> Result<(), Failure> {
        let path = self.state.layout.config_path().to_owned();
        let without = Overlay { host: &self.host, files: &[(path, None)] };
        self.state = State::load(&without, self.profile.as_deref())?;
        Ok(())
    }

    /// Prints a remark on standard error, unless `--log-level` asks for less.
    fn warn(&self, text: &str) {
        if self.log_level >= LogLevel::Warn {
            remark(text);
        }
    }

    fn debug(&self, text: impl Fn() -> String) {
        if self.log_level >= LogLevel::Debug {
            remark(&text());
        }
    }
}

fn try_run(arguments: &[OsString]) -> Result<u8, Failure> {
    // Commands are completed when they are needed: most of the tree is not, and building it all is felt.
    // Taking it apart is felt too, and the process is about to end.
    let mut tree = std::mem::ManuallyDrop::new(Cli::command());
    let root = RootOptions::take(arguments)?;
    let command = match upstream::named_command(&tree, arguments) {
        Named::Foreign(foreign) => match foreign.strip_suffix("help").map(str::trim) {
            Some(command) => return help(&tree, &command.split(' ').collect::<Vec<_>>(), 0),
            None => return Err(upstream::hand_over(&tree, &foreign, arguments)),
        },
        // The gateway is the other program's, where there is one; models serve is always ours.
        Named::Own(command) if matches!(command.as_str(), "gateway" | "gateway run") && upstream::is_named() => {
            return Err(upstream::hand_over(&tree, &command, arguments));
        }
        Named::Own(command) => command,
    };
    let matches = match tree.try_get_matches_from_mut(&root.arguments) {
        Ok(matches) => matches,
        Err(error) => return usage(&error, &command),
    };
    let cli = Cli::from_arg_matches(&matches).map_err(|error| usage_failure(&error, &command))?;
    let open = || Session::open(root.profile.as_deref(), &cli);
    let models = match &cli.command {
        None => return help(&tree, &[], 0),
        Some(Command::Onboard(options)) => return onboard::run(&open, &options.0),
        Some(Command::Configure(options)) => return onboard::configure(&open, options),
        Some(Command::Agent(options)) => return agent::run(&open, options),
        Some(Command::Gateway(options)) => return serve::run(&open, serve::Form::Gateway, &options.serve),
        Some(Command::Doctor(options)) => {
            return doctor::run(root.profile.as_deref(), cli.root.no_color, &options.0);
        }
        Some(Command::Secrets(options)) => {
            let quiet = cli.root.log_level < LogLevel::Warn;
            let desk = secrets::Desk::new(root.profile.as_deref(), cli.root.no_color, quiet);
            return secrets::run(&desk, &tree, &options.0);
        }
        Some(Command::Models(models)) => models,
    };

    match &models.command {
        None => {
            let form = status::Form::of(models.status_json, models.status_plain)?;
            status::run(&open()?, form, models.check, innermost(&[&models.agent]), None)
        }
        Some(ModelsCommand::Status(args)) => {
            let form = status::Form::of(args.output.json, args.output.plain)?;
            let probing = status::check_probe(&args.probe, form)?;
            status::run(&open()?, form, args.check, innermost(&[&args.agent, &models.agent]), probing.as_ref())
        }
        Some(ModelsCommand::List(args)) => {
            let form = status::Form::of(args.output.json, args.output.plain)?;
            model_list::run(&open()?, args, form, innermost(&[&args.agent, &models.agent]))
        }
        Some(ModelsCommand::Auth(auth)) => run_auth(&tree, auth, &open, innermost(&[&models.agent])),
        Some(ModelsCommand::Aliases(group)) => match &group.command {
            None => help(&tree, &["models", "aliases"], 1),
            Some(AliasesCommand::List(output)) => {
                let form = status::Form::of(output.json, output.plain)?;
                model_names::aliases(&open()?, form)
            }
            Some(AliasesCommand::Add(args)) => model_settings::run(
                &open()?,
                &args.change,
                &Setting {
                    command: "models aliases add",
                    edit: &|root| edit::add_alias(root, &args.alias, &args.model),
                    result: &|key| format!("Alias {} -> {key}", args.alias.trim()),
                    needs_auth: false,
                },
            ),
            Some(AliasesCommand::Remove(args)) => model_settings::run(
                &open()?,
                &args.change,
                &Setting {
                    command: "models aliases remove",
                    edit: &|root| edit::remove_alias(root, &args.alias),
                    result: &|key| format!("Alias {} removed ({key} stays)", args.alias.trim()),
                    needs_auth: false,
                },
            ),
        },
        Some(ModelsCommand::Set(args)) => model_settings::set(&open()?, &args.change, &args.model, false),
        Some(ModelsCommand::SetImage(args)) => model_settings::set(&open()?, &args.change, &args.model, true),
        Some(ModelsCommand::Serve(options)) => serve::run(&open, serve::Form::Models, &options.0),
        Some(ModelsCommand::Fallbacks(group)) => run_fallbacks(&tree, group, &open, false),
        Some(ModelsCommand::ImageFallbacks(group)) => run_fallbacks(&tree, group, &open, true),
    }
}

fn run_fallbacks(
    tree: &clap::Command,
    group: &FallbacksGroup,
    open: &dyn Fn() -> Result<Session, Failure>,
    image: bool,
) -> Result<u8, Failure> {
    let (name, title) = if image { ("image-fallbacks", "Image fallback") } else { ("fallbacks", "Fallback") };
    let slot = model_settings::slot(image);
    match &group.command {
        None => help(tree, &["models", name], 1),
        Some(FallbacksCommand::List(output)) => {
            let form = status::Form::of(output.json, output.plain)?;
            let kind = if image { model_names::Kind::Image } else { model_names::Kind::Text };
            model_names::fallbacks(&open()?, form, kind)
        }
        Some(FallbacksCommand::Add(args)) => model_settings::run(
            &open()?,
            &args.change,
            &Setting {
                command: if image { "models image-fallbacks add" } else { "models fallbacks add" },
                edit: &|root| edit::add_fallback(root, slot, &args.model),
                result: &|key| format!("{title} added: {key}"),
                needs_auth: true,
            },
        ),
        Some(FallbacksCommand::Remove(args)) => model_settings::run(
            &open()?,
            &args.change,
            &Setting {
                command: if image { "models image-fallbacks remove" } else { "models fallbacks remove" },
                edit: &|root| edit::remove_fallback(root, slot, &args.model),
                result: &|key| format!("{title} removed: {key}"),
                needs_auth: false,
            },
        ),
        Some(FallbacksCommand::Clear(change)) => model_settings::run(
            &open()?,
            change,
            &Setting {
                command: if image { "models image-fallbacks clear" } else { "models fallbacks clear" },
                edit: &|root| {
                    edit::clear_fallbacks(root, slot);
                    Ok(String::new())
                },
                result: &|_| format!("{title} list cleared."),
                needs_auth: false,
            },
        ),
    }
}

fn run_auth(
    tree: &clap::Command,
    auth: &Auth,
    open: &dyn Fn() -> Result<Session, Failure>,
    outer_agent: Option<&str>,
) -> Result<u8, Failure> {
    let agent =
        |levels: &[&crate::args::Agent]| innermost(levels).map(str::to_owned).or(outer_agent.map(str::to_owned));
    match &auth.command {
        None => help(tree, &["models", "auth"], 0),
        Some(AuthCommand::List(args)) => auth_list::run(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref()),
        Some(AuthCommand::Why(args)) => auth_why::run(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref()),
        Some(AuthCommand::Order(order)) => match &order.command {
            None => help(tree, &["models", "auth", "order"], 1),
            Some(OrderCommand::Get(args)) => {
                auth_order::get(&open()?, args, agent(&[&args.agent, &order.agent, &auth.agent]).as_deref())
            }
            Some(OrderCommand::Set(args)) => {
                auth_order::set(&open()?, args, agent(&[&args.agent, &order.agent, &auth.agent]).as_deref())
            }
            Some(OrderCommand::Clear(args)) => {
                auth_order::clear(&open()?, args, agent(&[&args.agent, &order.agent, &auth.agent]).as_deref())
            }
        },
        Some(AuthCommand::PasteApiKey(args)) => {
            auth_paste::api_key(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::PasteToken(args)) => {
            auth_paste::token(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::Add(args)) => auth_login::add(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref()),
        Some(AuthCommand::Login(args)) => {
            auth_login::login(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::SetupToken(args)) => {
            auth_login::setup_token(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::LoginGithubCopilot(args)) => {
            auth_login::copilot(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::Refresh(args)) => {
            auth_refresh::run(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::Import(args)) => {
            auth_import::run(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::Remove(args)) => {
            auth_remove::remove(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::ClearCooldown(args)) => {
            auth_cooldown::clear(&open()?, args, agent(&[&args.agent, &auth.agent]).as_deref())
        }
        Some(AuthCommand::Monitor(args)) => monitor::run(open, &args.0, agent(&[&auth.agent]).as_deref()),
    }
}

/// Prints the help of a command.
fn help(tree: &clap::Command, path: &[&str], code: u8) -> Result<u8, Failure> {
    let path = path.iter().filter(|name| !name.is_empty());
    let mut tree = tree.clone();
    tree.build();
    let found = path.into_iter().try_fold(&tree, |at, name| at.find_subcommand(name));
    let text = found.unwrap_or(&tree).clone().render_help().to_string();
    print_text(&text)?;
    Ok(code)
}

/// Help and version go to standard output; everything else is a usage error.
fn usage(error: &clap::Error, command: &str) -> Result<u8, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print_text(&error.render().to_string())?;
            Ok(0)
        }
        _ => Err(usage_failure(error, command)),
    }
}

/// Masks quoted words that may be secrets in the wrong place: long, of one piece, with digits.
fn without_secrets(text: &str) -> String {
    let parts = text.split('\'').enumerate().map(|(at, part)| {
        let (option, value) = match part.split_once('=') {
            Some((option, value)) if option.starts_with('-') => (format!("{option}="), value),
            _ => (String::new(), part),
        };
        let one_piece = !value.contains(char::is_whitespace) && value.contains(|c: char| c.is_ascii_digit());
        let suspicious = value.starts_with("sk-") || (one_piece && value.len() >= 20);
        if at % 2 == 1 && suspicious { format!("{option}{}", auth_core::mask(value)) } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("'")
}

/// A usage error in the two-part form: what is wrong, then where the options are listed.
fn usage_failure(error: &clap::Error, command: &str) -> Failure {
    let rendered = error.render().to_string();
    let mut lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("invalid arguments");
    let mut what = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    // A list of what is missing or possible belongs to the sentence; the usage and the pointer to the help do not.
    for line in lines.take_while(|line| !line.starts_with("Usage: ") && !line.starts_with("For more information")) {
        what.push_str(if line.starts_with("tip:") { ". " } else { " " });
        what.push_str(line);
    }
    let what = without_secrets(&what);
    let separator = if command.is_empty() { "" } else { " " };
    Failure::with_fix(what, format!("openclaw {command}{separator}--help"))
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn misplaced_secrets_are_masked() {
        for (text, shown) in [
            ("unexpected argument 'sk-test-leak-0000001' found", "unexpected argument 'sk...01' found"),
            ("unexpected value '--json=sk-test-leak-0000001' x", "unexpected value '--json=sk...01' x"),
            ("unexpected argument 'stat' found", "unexpected argument 'stat' found"),
            ("unexpected argument '--openai-api-keyz' found", "unexpected argument '--openai-api-keyz' found"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
