//! Commands within a message: `/model` and its relatives (spec 07 sections 10.1 and 10.4).

use crate::config::Config;

/// What a message asks of the program rather than of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// `/model`: which one is in use.
    Current,
    /// `/model status`: with endpoints and credentials.
    Status,
    /// `/models`: the providers, or the models of one.
    Models(Option<ModelsPage>),
    /// `/model <ref>[@profile]`.
    Select(String),
    /// `/new` or `/reset`, with what follows it.
    New(String),
    /// `/status`.
    SessionStatus,
}

/// Which models are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelsPage {
    /// The provider.
    pub provider: String,
    /// From 1.
    pub page: usize,
    /// How many on a page.
    pub limit: usize,
    /// All on one page.
    pub all: bool,
}

/// A message: what it asks of the program, if anything, and what goes to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The command.
    pub directive: Option<Directive>,
    /// The message without it.
    pub rest: String,
}

const PAGE: usize = 20;
const LONGEST_PAGE: usize = 100;

/// Finds the command in a message.
pub fn find_directive(message: &str, config: &Config) -> Said {
    let trimmed = message.trim();
    let word = trimmed.split(char::is_whitespace).next().unwrap_or_default().to_ascii_lowercase();
    let after = trimmed[word.len().min(trimmed.len())..].trim();
    let alone = |directive| Said { directive: Some(directive), rest: String::new() };
    match word.as_str() {
        "/models" => return alone(Directive::Models(page(after))),
        "/status" if after.is_empty() => return alone(Directive::SessionStatus),
        "/new" | "/reset" => return alone(Directive::New(after.to_owned())),
        _ => {}
    }
    let aliases: Vec<String> = config
        .models
        .iter()
        .filter_map(|entry| entry.alias.as_deref())
        .filter(|alias| !alias.trim().is_empty())
        .map(|alias| alias.trim().to_lowercase())
        .collect();
    let cut = find_model(message).or_else(|| aliases.iter().find_map(|alias| find_alias(message, alias)));
    let Some((start, end, argument)) = cut else {
        return Said { directive: None, rest: message.to_owned() };
    };
    let rest = format!("{} {}", message[..start].trim_end(), message[end..].trim_start()).trim().to_owned();
    let directive = match argument.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => Directive::Current,
        Some("status") => Directive::Status,
        Some("list") => Directive::Models(None),
        Some(_) => Directive::Select(argument.unwrap_or_default()),
    };
    Said { directive: Some(directive), rest }
}

/// Places where a command may begin: at the start, or after a blank.
fn starts(message: &str) -> impl Iterator<Item = usize> {
    message
        .match_indices('/')
        .map(|(at, _)| at)
        .filter(|at| message[..*at].chars().next_back().is_none_or(char::is_whitespace))
}

/// Where `/model` stands, where its argument ends, and the argument.
fn find_model(message: &str) -> Option<(usize, usize, Option<String>)> {
    starts(message).find_map(|start| {
        let rest = &message[start..];
        let name = rest.get(..6).filter(|name| name.eq_ignore_ascii_case("/model"))?;
        let after = &rest[name.len()..];
        if !after.chars().next().is_none_or(|c| c.is_whitespace() || c == ':') {
            return None;
        }
        let argument = after.trim_start();
        let argument = argument.strip_prefix(':').unwrap_or(argument).trim_start();
        let text: String = argument.chars().take_while(|c| !c.is_whitespace()).collect();
        let begin = message.len() - argument.len();
        if text.is_empty() {
            return Some((start, start + name.len(), None));
        }
        Some((start, begin + text.len(), Some(text)))
    })
}

/// Where `/<alias>` stands, with the alias as the argument.
fn find_alias(message: &str, alias: &str) -> Option<(usize, usize, Option<String>)> {
    starts(message).find_map(|start| {
        let rest = &message[start + 1..];
        let name = rest.get(..alias.len()).filter(|name| name.to_lowercase() == alias)?;
        let after = &rest[name.len()..];
        let ends = after.chars().next().is_none_or(|c| c.is_whitespace() || c == ':');
        ends.then(|| (start, start + 1 + name.len() + usize::from(after.starts_with(':')), Some(alias.to_owned())))
    })
}

fn page(words: &str) -> Option<ModelsPage> {
    let mut words = words.split_whitespace();
    let provider = words.next()?.to_owned();
    let mut page = ModelsPage { provider, page: 1, limit: PAGE, all: false };
    for word in words {
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0);
        match word.split_once('=') {
            _ if word.eq_ignore_ascii_case("all") => page.all = true,
            Some(("page", n)) => page.page = number(n).unwrap_or(1),
            Some(("limit", n)) => page.limit = number(n).unwrap_or(PAGE).min(LONGEST_PAGE),
            _ => page.page = number(word).unwrap_or(page.page),
        }
    }
    if page.all {
        page.limit = LONGEST_PAGE;
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn said(message: &str) -> Said {
        let config = Config::from_value(&json!({"agents": {"defaults": {"models": {"p/m": {"alias": "Two"}}}}}));
        find_directive(message, &config)
    }

    #[test]
    fn commands_are_found_and_cut_out() {
        let select = |text: &str| Some(Directive::Select(text.to_owned()));
        for (message, directive, rest) in [
            ("/model", Some(Directive::Current), ""),
            ("/MODEL status", Some(Directive::Status), ""),
            ("/model list", Some(Directive::Models(None)), ""),
            ("/model: p/m@x:a+b@x.org hello there", select("p/m@x:a+b@x.org"), "hello there"),
            ("please /model p/m and go", select("p/m"), "please and go"),
            ("/two hi", select("two"), "hi"),
            ("hi /Two", select("two"), "hi"),
            ("/two: hi", select("two"), "hi"),
            ("ask /two:\nwhy", select("two"), "ask why"),
            ("/models", Some(Directive::Models(None)), ""),
            ("/new p/m hello", Some(Directive::New("p/m hello".to_owned())), ""),
            ("/status", Some(Directive::SessionStatus), ""),
        ] {
            assert_eq!(said(message), Said { directive, rest: rest.to_owned() }, "{message}");
        }
    }

    #[test]
    fn a_page_of_models_has_a_number_and_a_length() {
        for (words, page, limit, all) in [
            ("", 1, 20, false),
            ("3", 3, 20, false),
            ("page=2 limit=500", 2, 100, false),
            ("limit=1", 1, 1, false),
            ("page=0 limit=0", 1, 20, false),
            ("page=x limit=-1 odd", 1, 20, false),
            ("2 0", 2, 20, false),
            ("all", 1, 100, true),
            ("ALL limit=5", 1, 100, true),
        ] {
            let page = ModelsPage { provider: "p".to_owned(), page, limit, all };
            assert_eq!(said(&format!("/models p {words}")).directive, Some(Directive::Models(Some(page))), "{words}");
        }
    }

    #[test]
    fn everything_else_goes_to_the_model() {
        for message in
            ["hello", "a/model x", "/modelling clay", "/twofold", "/unknown x", "http://x/model p/m", "/status of it"]
        {
            assert_eq!(said(message), Said { directive: None, rest: message.to_owned() }, "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read(message in "\\PC{0,60}") {
            let _ = said(&message);
        }

        #[test]
        fn any_slash_message_is_read(message in "/(model|models|new|two)?[ :@/a-zé\u{2003}]{0,20}") {
            let _ = said(&message);
        }
    }
}
