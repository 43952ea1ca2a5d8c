//! `onboard` and `configure --section model` (spec 04 section 3): checks, plan, writing, report.

use auth_core::Secret;
use auth_core::login_input;
use auth_core::setup::{Choice, InputMode, choice_of_flag, resolve_choice};
use auth_store::{SetAside, iso_time, set_aside, set_dotenv_variable};
use serde_json::{Map, Value, json};

use super::Session;
use super::change::Changing;
use super::setup_ask;
use super::setup_plan::Plan;
use super::setup_planner::{Planner, Variables};
use crate::args::Change;
use crate::endpoint_check::{Endpoints, Network, Offline};
use crate::failure::Failure;
use crate::onboard_args::{Configure, Onboard};
use crate::output::{Page, plain, print_json, remark};
use crate::prompt;

const SECTIONS: &[&str] =
    &["workspace", "model", "web", "gateway", "daemon", "channels", "plugins", "skills", "health"];
const RESET_SCOPES: &[&str] = &["config", "config+creds+sessions", "full"];

pub(crate) fn run(open: &dyn Fn() -> Result<Session, Failure>, options: &Onboard) -> Result<u8, Failure> {
    let mode = check_options(options)?;
    if !options.non_interactive && !prompt::is_interactive() {
        return Err(Failure::with_fix(
            "onboard asks questions and needs a terminal.",
            "openclaw onboard --non-interactive --accept-risk --auth-choice CHOICE",
        ));
    }
    let mut session = open()?;
    if options.reset {
        session.forget_config()?;
    }
    match options.mode.as_deref().map(str::trim) {
        None | Some("local" | "") => {}
        Some("remote") => return remote(&session, options),
        Some(_) => return Err(Failure::new("Invalid --mode. Use \"local\" or \"remote\".")),
    }
    let set_up = SetUp { session: &session, options, command: "onboard" };
    if options.non_interactive { set_up.by_options(mode) } else { set_up.by_asking() }
}

pub(crate) fn configure(open: &dyn Fn() -> Result<Session, Failure>, options: &Configure) -> Result<u8, Failure> {
    for section in &options.section {
        if !SECTIONS.contains(&section.as_str()) {
            return Err(Failure::new(format!(
                "Invalid --section: {section}. Expected one of: {}",
                SECTIONS.join(", ")
            )));
        }
        if section != "model" {
            return Err(Failure::with_fix(
                format!("Section {section} is not part of this program, which covers model credentials."),
                "openclaw configure --section model",
            ));
        }
    }
    if !prompt::is_interactive() {
        return Err(Failure::with_fix(
            "configure asks questions and needs a terminal.",
            "openclaw onboard --non-interactive --accept-risk --auth-choice CHOICE",
        ));
    }
    let session = open()?;
    let options = Onboard::default();
    SetUp { session: &session, options: &options, command: "configure" }.by_asking()
}

/// The checks that need nothing but the options, in the order of spec 04 section 3.2.
fn check_options(options: &Onboard) -> Result<InputMode, Failure> {
    if options.non_interactive && options.auth_choice.as_deref().map(str::trim) == Some("codex-cli") {
        return Err(Failure::new("Auth choice \"codex-cli\" is deprecated.\nUse \"--auth-choice openai-codex\"."));
    }
    let mode = match options.secret_input_mode.as_deref() {
        None => InputMode::Plaintext,
        Some(text) => InputMode::parse(text)
            .ok_or_else(|| Failure::new("Invalid --secret-input-mode. Use \"plaintext\" or \"ref\"."))?,
    };
    if options.reset_scope.as_deref().is_some_and(|scope| !RESET_SCOPES.contains(&scope.trim())) {
        return Err(Failure::new(format!("Invalid --reset-scope. Use one of: {}", RESET_SCOPES.join(", "))));
    }
    if options.non_interactive && !options.accept_risk {
        return Err(Failure::new(
            "Non-interactive setup requires explicit risk acknowledgement.\nAgents can read files and run commands of this machine: https://docs.openclaw.ai/security\nRun: openclaw onboard --non-interactive --accept-risk …",
        ));
    }
    Ok(mode)
}

/// A gateway elsewhere needs no credential here.
fn remote(session: &Session, options: &Onboard) -> Result<u8, Failure> {
    remark("A remote gateway keeps its own credentials: nothing was set up or reset here.");
    if options.json {
        print_json(
            &json!({ "ok": true, "mode": "remote", "workspace": workspace(session, options), "authChoice": "skip" }),
        )?;
    }
    Ok(0)
}

fn workspace(session: &Session, options: &Onboard) -> String {
    let state = &session.state;
    let given = options.workspace.as_deref().or(state.config.workspace.as_deref());
    let dir = given.map_or_else(|| state.layout.state_dir().join("workspace"), |dir| state.layout.user_path(dir));
    dir.display().to_string()
}

/// An option that carries a secret, with its value.
pub(crate) type GivenKey = (&'static str, Secret);

/// One run of the set-up.
pub(crate) struct SetUp<'a> {
    pub(crate) session: &'a Session,
    pub(crate) options: &'a Onboard,
    /// `onboard` or `configure`.
    pub(crate) command: &'static str,
}

impl SetUp<'_> {
    fn by_options(&self, mode: InputMode) -> Result<u8, Failure> {
        let (typed, given) = self.choice_and_key()?;
        let typed = typed.unwrap_or_else(|| "skip".to_owned());
        let chosen = resolve_choice(&typed, self.options.token_provider.as_deref()).map_err(Failure::new)?;
        self.refuse_foreign_keys(&chosen.choice, &chosen.reported)?;
        let given = given.map(|(name, text)| normalised(name, &text)).transpose()?.flatten();
        let change = self.change();
        let changing = Changing::open(self.session, &change, None, self.command)?;
        let plan = Planner {
            situation: self.session.state.situation(&changing.auth),
            options: self.options,
            mode,
            given: given.as_ref(),
            endpoints: self.endpoints(),
            variables: Variables::OfProvider,
        }
        .plan(&chosen.choice)?;
        let preview = self.preview(&changing, &plan)?;
        self.write(&changing, &plan)?;
        self.report(&plan, &preview, &chosen.reported)
    }

    fn by_asking(&self) -> Result<u8, Failure> {
        let change = self.change();
        let changing = Changing::open(self.session, &change, None, self.command)?;
        let Some((plan, reported)) = setup_ask::ask(self, &changing)? else {
            if self.options.json {
                print_json(&json!({ "ok": true, "mode": "local", "authChoice": "skip", "written": false }))?;
            }
            return Ok(0);
        };
        let preview = self.preview(&changing, &plan)?;
        self.write(&changing, &plan)?;
        self.report(&plan, &preview, &reported)
    }

    /// The network; nobody in a dry run.
    pub(crate) fn endpoints(&self) -> &'static dyn Endpoints {
        if self.options.dry_run { &Offline } else { &Network }
    }

    fn change(&self) -> Change {
        Change { json: self.options.json, dry_run: self.options.dry_run }
    }

    /// What is chosen, if anything, and the option that carries its key with its value.
    pub(crate) fn choice_and_key(&self) -> Result<(Option<String>, Option<GivenKey>), Failure> {
        let options = self.options;
        let given: Vec<&GivenKey> = options.keys.given.iter().filter(|(_, value)| !value.is_blank()).collect();
        let custom = options.custom_base_url.is_some() || options.custom_model_id.is_some();
        for (flag, _) in options.keys.given.iter().filter(|(_, value)| value.is_blank()) {
            remark(&format!("Warning: {flag} is empty and counts as not given."));
        }
        let token = options.token.as_deref().filter(|token| !token.trim().is_empty());
        let mut flags: Vec<&'static str> = given.iter().map(|(flag, _)| *flag).collect();
        if custom && !flags.contains(&"--custom-api-key") {
            flags.push("--custom-api-key");
        }
        if token.is_some() {
            flags.push("--token");
        }
        let choice = options.auth_choice.as_deref().map(str::trim).filter(|choice| !choice.is_empty());
        let typed = match (choice, flags.as_slice()) {
            (Some(choice), _) => choice.to_owned(),
            (None, []) => return Ok((None, None)),
            (None, ["--token"]) => "setup-token".to_owned(),
            (None, [flag]) => choice_of_flag(flag).unwrap_or("skip").to_owned(),
            (None, several) => {
                return Err(Failure::new(format!(
                    "Multiple API key flags were provided for non-interactive setup.\nUse a single flag, or --auth-choice.\nFlags: {}",
                    several.join(", ")
                )));
            }
        };
        let chosen = resolve_choice(&typed, options.token_provider.as_deref()).ok();
        let flag = chosen.and_then(|chosen| chosen.choice.flag());
        let token = token.filter(|_| flag == Some("--token")).map(|text| ("--token", Secret::new(text)));
        let key = given.into_iter().find(|(name, _)| Some(*name) == flag).cloned();
        Ok((Some(typed), token.or(key)))
    }

    /// A key of another provider would be dropped without a word.
    pub(crate) fn refuse_foreign_keys(&self, choice: &Choice, reported: &str) -> Result<(), Failure> {
        let own = choice.flag();
        let token = self.options.token.as_deref().is_some_and(|token| !token.trim().is_empty());
        // A token together with --token-provider may be there for another choice of a script.
        if token && own != Some("--token") && self.options.token_provider.is_none() {
            return Err(Failure::new(format!(
                "--token does not belong to auth choice \"{reported}\".\nLeave it out, or use --auth-choice setup-token."
            )));
        }
        let foreign = self.options.keys.given.iter().find(|(flag, value)| !value.is_blank() && Some(*flag) != own);
        match foreign {
            None => Ok(()),
            Some((flag, _)) => Err(Failure::new(match choice_of_flag(flag) {
                Some(choice) => format!(
                    "{flag} does not belong to auth choice \"{reported}\".\nLeave it out, or use --auth-choice {choice}."
                ),
                None => format!("{flag} does not belong to auth choice \"{reported}\"."),
            })),
        }
    }

    /// Store, variable and config: what can be checked is checked before the first of them, and what was done is undone
    /// when a later step fails.
    fn write(&self, changing: &Changing<'_>, plan: &Plan) -> Result<(), Failure> {
        if self.options.dry_run {
            return Ok(());
        }
        if !plan.profiles.is_empty() {
            changing.ready()?;
        }
        let aside = self.set_aside()?;
        let written = self.write_all(changing, plan);
        if written.is_err() {
            for moved in aside.iter().rev() {
                moved.put_back(&self.session.host).map_err(Failure::new)?;
            }
            return written;
        }
        let layout = &self.session.state.layout;
        for moved in &aside {
            remark(&format!("Kept {} as {}", layout.shorten(&moved.from), layout.shorten(&moved.to)));
        }
        if self.options.reset {
            remark("Sessions, workspace and auth-profiles.json are as they were.");
        }
        Ok(())
    }

    /// Moves out of the way what `--reset` is about.
    fn set_aside(&self) -> Result<Vec<SetAside>, Failure> {
        if !self.options.reset {
            return Ok(Vec::new());
        }
        let layout = &self.session.state.layout;
        let scope = self.options.reset_scope.as_deref().map_or(RESET_SCOPES[1], str::trim);
        let credentials = (scope != "config").then(|| layout.state_dir().join("credentials"));
        let mut done: Vec<SetAside> = Vec::new();
        for path in std::iter::once(layout.config_path().to_owned()).chain(credentials) {
            match set_aside(&path, &self.session.host) {
                Ok(moved) => done.extend(moved),
                Err(error) => {
                    for moved in done.iter().rev() {
                        moved.put_back(&self.session.host).map_err(Failure::new)?;
                    }
                    return Err(Failure::new(error));
                }
            }
        }
        Ok(done)
    }

    fn write_all(&self, changing: &Changing<'_>, plan: &Plan) -> Result<(), Failure> {
        let at = iso_time(self.session.state.now().as_ms());
        let edit = |root: &mut Value| plan.edit(root, &at, self.command);
        if !plan.profiles.is_empty() {
            return changing.store(&plan.profiles, &edit);
        }
        let path = self.session.state.layout.state_dir().join(".env");
        let undo = match &plan.dotenv {
            Some((name, value)) => {
                Some(set_dotenv_variable(&path, name, value, &self.session.host).map_err(Failure::new)?)
            }
            None => None,
        };
        let changed = changing.change_config(&edit);
        if let (Err(_), Some(undo)) = (&changed, undo) {
            undo.undo(&self.session.host).map_err(Failure::new)?;
        }
        changed.map(|_| ())
    }

    /// What would change in the config, dotted.
    pub(crate) fn preview(&self, changing: &Changing<'_>, plan: &Plan) -> Result<Vec<String>, Failure> {
        changing.preview(&plan.profiles, &|root| {
            if self.options.reset {
                *root = json!({});
            }
            plan.edit(root, "", self.command)
        })
    }

    fn report(&self, plan: &Plan, preview: &[String], reported: &str) -> Result<u8, Failure> {
        for note in &plan.notes {
            remark(note);
        }
        let layout = &self.session.state.layout;
        let mut lines = Vec::new();
        if self.options.dry_run {
            lines.push("Dry run: nothing was written.".to_owned());
            lines.extend(preview.iter().map(|name| format!("Would change {name}")));
        }
        if let Some((name, _)) = &plan.dotenv {
            lines.push(format!("Variable: {name} in {}", layout.shorten(&layout.state_dir().join(".env"))));
        }
        if !self.options.dry_run {
            lines.push(format!("Updated {}", layout.shorten(layout.config_path())));
        }
        for (id, provider, kind) in plan.named_profiles() {
            lines.push(format!("Auth profile: {id} ({provider}/{kind})"));
        }
        if let Some(model) = &plan.model {
            lines.push(format!("Default model set to {model}"));
        }
        if self.options.json {
            for line in &lines {
                remark(line);
            }
            print_json(&self.document(plan, reported))?;
            return Ok(0);
        }
        lines.push("Check it: openclaw models status".to_owned());
        let mut page = Page::for_stdout(self.session.no_color);
        for line in &lines {
            page.line(2, &[plain(line)]);
        }
        page.print()?;
        Ok(0)
    }

    fn document(&self, plan: &Plan, reported: &str) -> Value {
        let profiles: Vec<Value> = plan
            .named_profiles()
            .map(|(id, provider, kind)| json!({ "profileId": id.as_str(), "provider": provider, "mode": kind }))
            .collect();
        let mut document = Map::new();
        document.insert("ok".to_owned(), Value::from(true));
        if self.options.dry_run {
            document.insert("dryRun".to_owned(), Value::from(true));
        }
        for (name, value) in [
            ("mode", Value::from("local")),
            ("workspace", Value::from(workspace(self.session, self.options))),
            ("authChoice", Value::from(reported)),
            ("auth", json!({ "profiles": profiles, "defaultModel": plan.model })),
            ("installDaemon", Value::from(false)),
            ("skipSkills", Value::from(self.options.ignored.skip_skills)),
            ("skipHealth", Value::from(self.options.ignored.skip_health)),
        ] {
            document.insert(name.to_owned(), value);
        }
        Value::Object(document)
    }
}

/// The value of an option that carries a secret; `-` stands for standard input.
pub(crate) fn normalised(option: &str, text: &Secret) -> Result<Option<Secret>, Failure> {
    if text.reveal().trim() == "-" {
        return prompt::piped(&|line| login_input::secret(line).map_err(|why| why.to_string())).map(Some);
    }
    // A reference is no secret.
    if !text.reveal().trim().starts_with("${") {
        remark(&format!(
            "Warning: other users of this machine can see {option} in the list of processes; give \"-\" and pipe the secret in."
        ));
    }
    match login_input::secret(text.reveal()) {
        Ok(secret) => Ok(Some(secret)),
        // The setup-token says itself what it lacks.
        Err(login_input::InputError::Empty) => Ok(None),
        Err(why) => Err(Failure::new(format!("{option}: {why}"))),
    }
}
