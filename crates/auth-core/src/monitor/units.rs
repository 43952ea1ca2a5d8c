//! The files that let a system run the monitor (spec 06 section 14.3): units of systemd, an agent of launchd, a line of
//! cron. Nothing secret stands in them: channels come from a file that only its owner reads.

use std::fmt::Write as _;

/// The first line of what is ours; a file without it is somebody else's.
pub const MARKER: &str = "Written by openclaw models auth monitor install";
/// The name of the service and of the timer, without their endings.
pub const UNIT: &str = "openclaw-auth-monitor";
/// The label of the agent of launchd.
pub const LAUNCHD_LABEL: &str = "ai.openclaw.auth-monitor";

/// What is run, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The absolute path of this program.
    pub program: String,
    /// The arguments after `models auth monitor`; none of them is secret.
    pub arguments: Vec<String>,
    /// Variables that say where the state is.
    pub variables: Vec<(String, String)>,
    /// The file of channels, absolute.
    pub env_file: String,
    /// The directories that are written, absolute.
    pub writes: Vec<String>,
    /// The user of a system service, by number.
    pub user: Option<u32>,
    /// How often it runs, in milliseconds.
    pub every_ms: i64,
}

impl Job {
    fn words(&self) -> impl Iterator<Item = &str> {
        let fixed = [self.program.as_str(), "models", "auth", "monitor"];
        fixed.into_iter().chain(self.arguments.iter().map(String::as_str))
    }
}

/// The service of systemd.
pub fn systemd_service(job: &Job) -> String {
    let mut text = format!(
        "# {MARKER}\n[Unit]\nDescription=OpenClaw: watch the credentials of model providers\n\
         After=network-online.target\nWants=network-online.target\n\n[Service]\nType=oneshot\n"
    );
    if let Some(user) = job.user {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "User={user}");
    }
    // The rest of the line is the path; quotes would be part of it.
    let _ = writeln!(text, "EnvironmentFile=-{}", job.env_file.replace('%', "%%"));
    for (name, value) in &job.variables {
        let _ = writeln!(text, "Environment={}", systemd_word(&format!("{name}={value}")));
    }
    let words: Vec<String> = job
        .words()
        .enumerate()
        .map(
            |(at, word)| {
                if at > 0 && is_plain(word) { word.to_owned() } else { systemd_word(word).replace('$', "$$") }
            },
        )
        .collect();
    let _ = writeln!(text, "ExecStart={}", words.join(" "));
    text.push_str(
        "SuccessExitStatus=2\nUMask=0077\nNoNewPrivileges=yes\nPrivateTmp=yes\nProtectSystem=strict\nReadWritePaths=",
    );
    // A directory that is not there yet is no reason not to start.
    let writes: Vec<String> = job.writes.iter().map(|dir| systemd_word(&format!("-{dir}"))).collect();
    text.push_str(&writes.join(" "));
    text.push('\n');
    text
}

/// The timer of systemd.
pub fn systemd_timer(every_ms: i64) -> String {
    format!(
        "# {MARKER}\n[Unit]\nDescription=OpenClaw: watch the credentials of model providers\n\n[Timer]\nOnBootSec=5min\n\
         OnUnitActiveSec={}\nRandomizedDelaySec=1min\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n",
        super::written_length(every_ms)
    )
}

/// A word in quotes, as systemd takes it: `%` doubled, quotes, backslashes and control characters escaped.
fn systemd_word(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for c in word.chars() {
        match c {
            '%' => out.push_str("%%"),
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The agent of launchd. A shell reads the file of channels, because launchd reads none.
pub fn launchd_agent(job: &Job) -> String {
    let string = |text: &str| format!("<string>{}</string>", xml(text));
    let command = shell_command(job);
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n",
    );
    let seconds = (job.every_ms / 1000).max(1);
    let _ = write!(
        text,
        "<!-- {MARKER} -->\n<plist version=\"1.0\">\n<dict>\n  <key>Label</key>\n  {}\n  <key>ProgramArguments</key>\n  \
         <array>\n    <string>/bin/sh</string>\n    <string>-c</string>\n    {}\n  </array>\n  <key>StartInterval</key>\n  \
         <integer>{seconds}</integer>\n  <key>RunAtLoad</key>\n  <true/>\n  <key>Umask</key>\n  <integer>63</integer>\n\
         </dict>\n</plist>\n",
        string(LAUNCHD_LABEL),
        string(&command)
    );
    text
}

/// The line of cron, without a line break.
pub fn cron_line(job: &Job) -> String {
    // A per cent sign ends the command in a table of cron.
    format!("{} {} # {UNIT}", cron_times(job.every_ms), shell_command(job).replace('%', "\\%"))
}

/// When cron runs it: the longest time that cron can keep and that is not longer than the one asked for.
fn cron_times(every_ms: i64) -> String {
    let minutes = (every_ms / 60_000).max(1);
    let divisor = |of: i64, most: i64| (1..=most.min(of)).rev().find(|n| of % n == 0).unwrap_or(1);
    match minutes {
        1 => "* * * * *".to_owned(),
        2..60 => format!("*/{} * * * *", divisor(60, minutes)),
        60..1440 => match divisor(24, minutes / 60) {
            1 => "0 * * * *".to_owned(),
            hours => format!("0 */{hours} * * *"),
        },
        _ => "0 8 * * *".to_owned(),
    }
}

/// The command for a shell: the channels are read from their file, if it is there.
fn shell_command(job: &Job) -> String {
    let file = shell_word(&job.env_file);
    let mut text = format!("if [ -r {file} ]; then set -a; . {file}; set +a; fi;");
    for (name, value) in &job.variables {
        let _ = write!(text, " {name}={}", shell_word(value));
    }
    for word in job.words() {
        text.push(' ');
        text.push_str(&shell_word(word));
    }
    text
}

/// Whether neither a shell nor systemd sees more in a word than its characters.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&b))
}

fn shell_word(word: &str) -> String {
    if is_plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The file of channels: a form that systemd and a shell read alike. `None` when a value has a line break or another
/// control character, which they do not.
pub fn env_file(variables: &[(&str, String)]) -> Option<String> {
    let mut text = format!("# {MARKER}\n");
    for (name, value) in variables {
        if value.contains(char::is_control) {
            return None;
        }
        if is_plain(value) {
            let _ = writeln!(text, "{name}={value}");
            continue;
        }
        let mut quoted = String::new();
        for c in value.chars() {
            if matches!(c, '"' | '\\' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        let _ = writeln!(text, "{name}=\"{quoted}\"");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> Job {
        Job {
            program: "/opt/open claw/bin/openclaw".to_owned(),
            arguments: vec!["--prometheus".to_owned(), "/var/lib/100%/a\"$b.prom".to_owned()],
            variables: vec![("OPENCLAW_STATE_DIR".to_owned(), "/st %h".to_owned())],
            env_file: "/st %h/auth-monitor.env".to_owned(),
            writes: vec!["/st %h".to_owned(), "/var/lib/100%".to_owned()],
            user: None,
            every_ms: 1_800_000,
        }
    }

    #[test]
    fn paths_are_quoted_and_per_cent_signs_doubled() {
        let text = systemd_service(&job());
        assert!(text.contains("EnvironmentFile=-/st %%h/auth-monitor.env\n"), "{text}");
        assert!(text.contains("Environment=\"OPENCLAW_STATE_DIR=/st %%h\"\n"), "{text}");
        assert!(text.contains("ReadWritePaths=\"-/st %%h\" \"-/var/lib/100%%\"\n"), "{text}");
        let start = "ExecStart=\"/opt/open claw/bin/openclaw\" models auth monitor --prometheus \"/var/lib/100%%/a\\\"$$b.prom\"\n";
        assert!(text.contains(start), "{text}");
        assert!(systemd_timer(5_400_000).contains("OnUnitActiveSec=90min\n"));
    }

    #[test]
    fn cron_keeps_the_nearest_time_it_can() {
        let minutes = |n: i64| cron_times(n * 60_000);
        assert_eq!((minutes(30).as_str(), minutes(1).as_str()), ("*/30 * * * *", "* * * * *"));
        assert_eq!((minutes(45).as_str(), minutes(7).as_str()), ("*/30 * * * *", "*/6 * * * *"));
        assert_eq!((minutes(60).as_str(), minutes(300).as_str()), ("0 * * * *", "0 */4 * * *"));
        assert_eq!((minutes(2880).as_str(), cron_times(0).as_str()), ("0 8 * * *", "* * * * *"));
        let line = cron_line(&job());
        assert!(line.contains("100\\%") && line.ends_with("# openclaw-auth-monitor"), "{line}");
        assert!(!line.contains('\n'));
    }

    /// The unit of spec 06 section 14.3, line by line.
    #[test]
    fn the_units_of_systemd_are_complete() {
        let plain = Job {
            program: "/usr/bin/openclaw".to_owned(),
            arguments: vec!["--agent".to_owned(), String::new(), "a\nb\u{7}\\".to_owned()],
            variables: vec![],
            env_file: "/st/auth-monitor.env".to_owned(),
            writes: vec!["/st".to_owned()],
            user: Some(1000),
            every_ms: 1_800_000,
        };
        let wanted = "# Written by openclaw models auth monitor install\n\
            [Unit]\n\
            Description=OpenClaw: watch the credentials of model providers\n\
            After=network-online.target\n\
            Wants=network-online.target\n\
            \n\
            [Service]\n\
            Type=oneshot\n\
            User=1000\n\
            EnvironmentFile=-/st/auth-monitor.env\n\
            ExecStart=\"/usr/bin/openclaw\" models auth monitor --agent \"\" \"a\\nb\\u0007\\\\\"\n\
            SuccessExitStatus=2\n\
            UMask=0077\n\
            NoNewPrivileges=yes\n\
            PrivateTmp=yes\n\
            ProtectSystem=strict\n\
            ReadWritePaths=\"-/st\"\n";
        assert_eq!(systemd_service(&plain), wanted);
        assert!(!systemd_service(&job()).contains("User="));
        let timer = "# Written by openclaw models auth monitor install\n\
            [Unit]\n\
            Description=OpenClaw: watch the credentials of model providers\n\
            \n\
            [Timer]\n\
            OnBootSec=5min\n\
            OnUnitActiveSec=30min\n\
            RandomizedDelaySec=1min\n\
            Persistent=true\n\
            \n\
            [Install]\n\
            WantedBy=timers.target\n";
        assert_eq!(systemd_timer(1_800_000), timer);
    }

    #[test]
    fn an_agent_of_launchd_runs_the_command_in_a_shell() {
        let text = launchd_agent(&Job { env_file: "/a & <b>/m.env".to_owned(), ..job() });
        assert!(text.contains("<string>if [ -r '/a &amp; &lt;b&gt;/m.env' ]; then set -a; "), "{text}");
        assert!(text.contains("'/var/lib/100%/a&quot;$b.prom'</string>\n  </array>"), "{text}");
        assert!(text.contains("<key>Label</key>\n  <string>ai.openclaw.auth-monitor</string>"), "{text}");
        let seconds = |every_ms: i64| {
            let text = launchd_agent(&Job { every_ms, ..job() });
            let (_, rest) = text.split_once("<key>StartInterval</key>\n  <integer>").unwrap();
            rest.split_once("</integer>").unwrap().0.to_owned()
        };
        assert_eq!([1_800_000, 61_500, 999, 0].map(seconds), ["1800", "61", "1", "1"]);
    }

    #[test]
    fn a_line_of_cron_reads_the_channels_and_runs_the_command() {
        let line = cron_line(&Job { every_ms: 3_600_000, ..job() });
        let wanted = "0 * * * * if [ -r '/st \\%h/auth-monitor.env' ]; then set -a; . '/st \\%h/auth-monitor.env'; \
            set +a; fi; OPENCLAW_STATE_DIR='/st \\%h' '/opt/open claw/bin/openclaw' models auth monitor --prometheus \
            '/var/lib/100\\%/a\"$b.prom' # openclaw-auth-monitor";
        assert_eq!(line, wanted);
        let hours = |minutes: i64| cron_times(minutes * 60_000);
        for (minutes, times) in [
            (2, "*/2 * * * *"),
            (59, "*/30 * * * *"),
            (119, "0 * * * *"),
            (120, "0 */2 * * *"),
            (720, "0 */12 * * *"),
            (1439, "0 */12 * * *"),
            (1440, "0 8 * * *"),
        ] {
            assert_eq!(hours(minutes), times, "{minutes}");
        }
    }

    #[test]
    fn words_are_quoted_only_where_they_must_be() {
        for (word, quoted) in
            [("a-Z_9./:=@,+", "a-Z_9./:=@,+"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("é", "'é'")]
        {
            assert_eq!(shell_word(word), quoted);
        }
        let file = |value: &str| env_file(&[("A", value.to_owned()), ("B", "x".to_owned())]);
        let text = |line: &str| Some(format!("# Written by openclaw models auth monitor install\nA={line}\nB=x\n"));
        assert_eq!(file("https://x.example/t"), text("https://x.example/t"));
        assert_eq!(file("a \"b\" $c `d` \\"), text("\"a \\\"b\\\" \\$c \\`d\\` \\\\\""));
        assert_eq!(file(""), text("\"\""));
        for control in ["a\nb", "\u{7}", "\r", "\0"] {
            assert_eq!(file(control), None);
        }
    }

    proptest! {
        /// What a shell word says is what the splitter, which follows the same rules, reads.
        #[test]
        fn shell_words_come_back(word in "[ -~]{0,20}") {
            prop_assert_eq!(super::super::split_words(&shell_word(&word)), Ok(vec![word]));
        }

        #[test]
        fn values_of_the_env_file_come_back(value in "[ -~]{0,30}") {
            let text = env_file(&[("A", value.clone())]).unwrap_or_default();
            let line = text.lines().last().unwrap_or_default();
            prop_assert_eq!(super::super::split_words(line), Ok(vec![format!("A={value}")]));
        }
    }
}
