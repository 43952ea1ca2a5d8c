//! Lines as a shell would split them, as far as pages have them.

/// The simple commands of a line: the words of each, without assignments before it, redirections and comments.
pub(crate) fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut letters = line.chars().peekable();
    let mut redirected = false;
    let end_word = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>, redirected: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(redirected)
        {
            commands.last_mut().unwrap().push(word);
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                text.extend(letters.by_ref().take_while(|&other| other != letter));
            }
            ' ' => end_word(&mut word, &mut commands, &mut redirected),
            '#' if word.is_none() => break,
            '|' | '&' | ';' | '(' | ')' => {
                end_word(&mut word, &mut commands, &mut redirected);
                commands.push(Vec::new());
            }
            '<' | '>' => {
                // `2>`: the number belongs to the redirection.
                if word.as_deref().is_some_and(|text| text.chars().all(|c| c.is_ascii_digit())) {
                    word = None;
                }
                end_word(&mut word, &mut commands, &mut redirected);
                // `2>&1` is whole with its number.
                if letters.next_if_eq(&'&').is_some() {
                    letters.next();
                } else {
                    redirected = true;
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    end_word(&mut word, &mut commands, &mut redirected);
    for command in &mut commands {
        let assignments = command.iter().take_while(|word| is_assignment(word)).count();
        command.drain(..assignments);
        let keyword = command.first().is_some_and(|word| ["if", "then", "else", "do", "!"].contains(&word.as_str()));
        if keyword {
            command.remove(0);
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// The commands of this program that pages name without it.
const GROUPS: &[&str] = &["models", "secrets", "doctor", "onboard", "configure"];

/// The arguments of a command that is this program's; what `…` leaves open is filled in. `None` for other commands, and
/// for one that names the program only.
pub(crate) fn arguments(command: &[String]) -> Option<Vec<String>> {
    let (program, rest) = command.split_first()?;
    let words = if GROUPS.contains(&program.as_str()) { command } else { rest };
    let is_ours = words.len() > rest.len() || program == "openclaw" || program.ends_with("/openclaw");
    if !is_ours || rest.is_empty() {
        return None;
    }
    let mut arguments: Vec<String> = Vec::new();
    for word in words {
        if word == "…" {
            if arguments.last().is_some_and(|before| before.starts_with("--")) {
                arguments.push("x".to_owned());
            }
            continue;
        }
        let plain = word.trim_start_matches('[').trim_end_matches(']');
        arguments.push(plain.to_owned());
    }
    Some(arguments).filter(|arguments| !arguments.is_empty())
}

#[test]
fn lines_are_split_like_a_shell_does() {
    let split =
        |line: &str| simple_commands(line).into_iter().map(|command| command.join("·")).collect::<Vec<_>>().join(" | ");
    assert_eq!(split("printf '%s' 'a b' | openclaw x --y  # why"), "printf·%s·a b | openclaw·x·--y");
    assert_eq!(split("A=1 openclaw x > out 2>&1 || notify \"a b\""), "openclaw·x | notify·a b");
    assert_eq!(split("openclaw x - < key.txt; echo $?"), "openclaw·x·- | echo·$?");
    assert_eq!(split("if openclaw x; then true; fi"), "openclaw·x | true | fi");
    let given = |line: &str| arguments(&simple_commands(line)[0]).map(|words| words.join(" "));
    assert_eq!(given("openclaw a --b … [--c]").as_deref(), Some("a --b x --c"));
    assert_eq!(given("models auth why").as_deref(), Some("models auth why"));
    assert_eq!(given("doctor"), None);
    assert_eq!(given("openclaw …"), None);
    assert_eq!(given("cargo test"), None);
}
