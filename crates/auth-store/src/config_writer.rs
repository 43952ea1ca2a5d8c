//! Changing `openclaw.json` (spec 01 section 4): under its lock, member by member, comments and includes kept.

use auth_core::Environment;
use serde_json::Value;

use crate::backup_ring::back_up;
use crate::config_file::{ConfigInvalid, read_authored};
use crate::config_plan::{ConfigPlanner, PlannedConfig};
use crate::layout::StateLayout;
use crate::lock::{LockError, LockGuard, iso_time, lock};
use crate::replace::{WriteError, make_parent, replace};
use crate::store_writer::Run;
use crate::write_host::WriteHost;

/// How often a change is made again when somebody without the lock wrote in between.
const TRIES: usize = 3;

/// Why the config was not changed. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigWriteError {
    /// It cannot be used as it is.
    #[error(transparent)]
    Invalid(#[from] ConfigInvalid),
    /// The change itself was refused, in words.
    #[error("{0}")]
    Refused(String),
    /// The result would not be valid.
    #[error("Config validation failed: {path}: {message}")]
    Validation {
        /// The dotted path of the setting.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The text cannot be changed without touching something else.
    #[error("{file} cannot be edited safely: {why}. Add by hand: {by_hand}")]
    Unsafe {
        /// The file as shown to people.
        file: String,
        /// Why.
        why: String,
        /// What to add.
        by_hand: String,
    },
    /// Somebody keeps writing it.
    #[error("config changed since last load; run the command again")]
    Changed,
    /// The lock was not had.
    #[error("Failed to update the config{hint}. {0}", hint = .0.hint())]
    Lock(#[from] LockError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a change of the config did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whether any file is different now, or would be in a dry run.
    pub changed: bool,
    /// The settings that changed, dotted.
    pub settings: Vec<String>,
}

/// The config, open for a change.
#[derive(Clone, Copy)]
pub struct ConfigWriter<'a> {
    layout: &'a StateLayout,
    environment: &'a Environment,
    host: &'a dyn WriteHost,
    /// The command that writes, without options: for the log of writes.
    command: &'a str,
}

impl std::fmt::Debug for ConfigWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigWriter").field("path", &self.layout.config_path()).finish_non_exhaustive()
    }
}

impl<'a> ConfigWriter<'a> {
    /// A writer for the config of this layout. `command` names the command for the log of writes.
    pub fn new(
        layout: &'a StateLayout,
        environment: &'a Environment,
        host: &'a dyn WriteHost,
        command: &'a str,
    ) -> Self {
        Self { layout, environment, host, command }
    }

    /// Changes the config. `edit` gets the document as its author wrote it, with includes resolved and variables not;
    /// what it changes there is changed in the files, and nothing else. Without a change nothing is written.
    ///
    /// # Errors
    ///
    /// When the config is not valid, before or after; when a change cannot be made in place; when it cannot be locked
    /// or written. Nothing is changed then.
    pub fn edit(
        &self,
        run: Run,
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<ConfigChange, ConfigWriteError> {
        let path = self.layout.config_path();
        let guard = match run {
            Run::Real => {
                make_parent(path, self.host)?;
                Some(lock(path, self.host)?)
            }
            Run::Dry => None,
        };
        for _ in 0..TRIES {
            let planned = self.plan(edit)?;
            let Some(guard) = guard.as_ref().filter(|_| planned.change.changed) else { return Ok(planned.change) };
            if read_authored(self.layout, self.host)?.raw != planned.authored.raw {
                continue;
            }
            self.write(guard, &planned)?;
            return Ok(planned.change);
        }
        Err(ConfigWriteError::Changed)
    }

    /// Works out a change and checks its result. No file changes when nothing would be different.
    pub(crate) fn plan(
        &self,
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<PlannedConfig, ConfigWriteError> {
        ConfigPlanner::new(self.layout, self.environment, self.host).work_out(edit)
    }

    fn write(&self, guard: &LockGuard<'_>, planned: &PlannedConfig) -> Result<(), ConfigWriteError> {
        let main = self.layout.config_path();
        if let Some(raw) = &planned.authored.raw
            && planned.texts.iter().any(|(path, _)| path == main)
        {
            back_up(guard, main, raw, self.host)?;
        }
        for (path, text) in &planned.texts {
            replace(guard, path, text.as_bytes(), self.host)?;
        }
        self.written();
        Ok(())
    }

    /// What follows a write: the state directory is closed to others, and the log says that it happened. For those
    /// who replaced the files of a [`ConfigPlan`](crate::ConfigPlan) themselves.
    pub fn written(&self) {
        self.tighten_state_dir();
        self.log();
    }

    /// The state directory is closed to others.
    fn tighten_state_dir(&self) {
        let dir = self.layout.state_dir();
        if self.layout.config_path().parent() == Some(dir)
            && self.host.mode_of(dir).is_some_and(|mode| mode & 0o077 != 0)
        {
            // Not ours to change then; the file itself is 0600.
            let _ = self.host.set_mode(dir, 0o700);
        }
    }

    /// Appends a line about the write: when, which command, which process. No values, no options.
    fn log(&self) {
        let dir = self.layout.state_dir().join("logs");
        let line = serde_json::json!({
            "ts": iso_time(self.host.now().as_ms()),
            "source": "openclaw-auth",
            "event": "config.write",
            "configPath": self.layout.config_path().display().to_string(),
            "pid": std::process::id(),
            "argv": ["openclaw", self.command],
        });
        // A log that cannot be written must not undo the write.
        let _ = self
            .host
            .make_dir(&dir)
            .and_then(|()| self.host.append(&dir.join("config-audit.jsonl"), format!("{line}\n").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use std::path::PathBuf;

    use crate::write_host::faulty::{Fault, FaultyHost};
    use serde_json::json;

    struct Bench {
        dir: tempfile::TempDir,
        host: FaultyHost,
    }

    impl Bench {
        fn new(config: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let bench = Self { host: FaultyHost::new(dir.path()), dir };
            bench.file("openclaw.json", config);
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(".openclaw").join(name)
        }

        fn file(&self, name: &str, text: &str) {
            std::fs::create_dir_all(self.path("x").parent().unwrap()).unwrap();
            std::fs::write(self.path(name), text).unwrap();
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap_or_default()
        }

        fn edit(
            &self,
            run: Run,
            edit: &dyn Fn(&mut Value) -> Result<(), String>,
        ) -> Result<ConfigChange, ConfigWriteError> {
            let env = Environment::from_process(self.host.variables());
            let layout = StateLayout::resolve(&env, &self.host);
            ConfigWriter::new(&layout, &env, &self.host, "models test").edit(run, edit)
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of an edit")]
    fn set_model(document: &mut Value) -> Result<(), String> {
        document["agents"] = json!({"defaults": {"model": "groq/x"}});
        Ok(())
    }

    #[test]
    fn only_what_is_asked_changes_and_the_old_text_is_kept_beside_it() {
        let before = "// mine\n{\n  $include: './more.json5', // kept\n  models: {},\n}\n";
        let bench = Bench::new(before);
        bench.file("more.json5", "{ gateway: { mode: 'local' } } // theirs");
        bench.file("openclaw.json.bak.before", "foreign");
        assert!(!bench.edit(Run::Dry, &set_model).unwrap().settings.is_empty());
        assert_eq!(bench.text("openclaw.json"), before);
        let change = bench.edit(Run::Real, &set_model).unwrap();
        assert_eq!((change.changed, change.settings), (true, vec!["agents".to_owned()]));
        let after = bench.text("openclaw.json");
        assert!(
            after.starts_with("// mine\n{\n  $include: './more.json5', // kept\n  models: {},\n  \"agents\": {"),
            "{after}"
        );
        assert!(after.contains("\"lastTouchedVersion\": \"2026.4.5\"") && !after.contains("gateway"), "{after}");
        assert_eq!(
            (bench.text("openclaw.json.bak").as_str(), bench.text("openclaw.json.bak.before").as_str()),
            (before, "foreign")
        );
        assert!(bench.text("more.json5").ends_with("// theirs"));
        let log = bench.text("logs/config-audit.jsonl");
        assert!(log.contains("models test") && log.lines().count() == 1, "{log}");

        let change = bench.edit(Run::Real, &set_model).unwrap();
        assert!(!change.changed);
        assert_eq!(bench.text("openclaw.json"), after);
    }

    #[test]
    fn the_ring_holds_five() {
        let bench = Bench::new("{}");
        for n in 0..8 {
            bench
                .edit(Run::Real, &move |document| {
                    document["n"] = json!(n);
                    Ok(())
                })
                .unwrap();
        }
        let kept = |name: &str| crate::json5::parse(&bench.text(name)).unwrap()["n"].clone();
        assert_eq!(
            [kept("openclaw.json"), kept("openclaw.json.bak"), kept("openclaw.json.bak.4")],
            [json!(7), json!(6), json!(2)]
        );
        assert!(!bench.path("openclaw.json.bak.5").exists());
    }

    #[test]
    fn arrays_of_an_included_file_change_there() {
        let bench = Bench::new("{ auth: { $include: './auth.json5' } }");
        bench.file("auth.json5", "{ order: { p: ['a', 'b'] } } // shared");
        let reorder = |document: &mut Value| {
            document["auth"]["order"]["p"] = json!(["b", "a"]);
            document["auth"]["profiles"] = json!({"b": {"provider": "p", "mode": "token"}});
            Ok(())
        };
        bench.edit(Run::Real, &reorder).unwrap();
        assert_eq!(bench.text("auth.json5"), "{ order: { p: [\"b\",\"a\"] } } // shared");
        assert!(bench.text("openclaw.json").contains("\"profiles\""));

        let bench = Bench::new("{ auth: { $include: './auth.json5', order: { p: ['c'] } } }");
        bench.file("auth.json5", "{ order: { p: ['a'] } }");
        let error = bench.edit(Run::Real, &|document| {
            document["auth"]["order"]["p"] = json!(["c"]);
            Ok(())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot be edited safely") && error.contains("Add by hand: auth.order.p"), "{error}");
    }

    #[test]
    fn nothing_invalid_is_read_or_written() {
        let bench = Bench::new("{ auth: { zz: 1 } }");
        assert!(matches!(bench.edit(Run::Real, &set_model), Err(ConfigWriteError::Invalid(_))));
        let bench = Bench::new("{}");
        let error = bench.edit(Run::Real, &|document| {
            document["auth"] = json!({"zz": 1});
            Ok(())
        });
        assert!(error.unwrap_err().to_string().starts_with("Config validation failed: auth: "));
        assert!(matches!(bench.edit(Run::Real, &|_| Err("no".to_owned())), Err(ConfigWriteError::Refused(_))));
        assert_eq!(bench.text("openclaw.json"), "{}");
    }

    #[test]
    fn variables_stay_as_they_were_written() {
        let bench = Bench::new("{ gateway: { x: '${HOME} $${HOME} ${NOPE}' } }");
        bench.edit(Run::Real, &set_model).unwrap();
        assert!(bench.text("openclaw.json").contains("'${HOME} $${HOME} ${NOPE}'"));
    }

    /// A config write, stopped at every step: old or new, never wider than 0600, and the next run works.
    #[test]
    fn kill_matrix_of_a_config_write() {
        use std::os::unix::fs::PermissionsExt;
        let mut outcomes = [0, 0];
        for step in 0..25 {
            for fault in [Fault::Kill(step), Fault::Error(step, 28), Fault::Error(step, 13), Fault::Error(step, 5)] {
                let bench = Bench::new("{ a: 1 } // old");
                bench.host.fault.set(fault);
                let result = bench.edit(Run::Real, &set_model);
                let now = bench.text("openclaw.json");
                assert!(now == "{ a: 1 } // old" || now.contains("groq/x"), "{fault:?}: {now}");
                assert!(result.is_err() || now.contains("groq/x"), "{fault:?}: reported as done");
                outcomes[usize::from(now.contains("groq/x"))] += 1;
                bench.host.fault.set(Fault::None);
                let lock = bench.path("openclaw.json.lock");
                if lock.exists() {
                    let text =
                        std::fs::read_to_string(&lock).unwrap().replace(&std::process::id().to_string(), "999999999");
                    std::fs::write(&lock, text).unwrap();
                }
                bench
                    .edit(Run::Real, &|document| {
                        document["b"] = json!(2);
                        Ok(())
                    })
                    .unwrap();
                assert!(
                    bench.text("openclaw.json").contains("\"b\": 2") && bench.text("openclaw.json").contains("// old")
                );
                let mode = bench.path("openclaw.json").metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
        assert!(outcomes[0] > 10 && outcomes[1] > 10, "{outcomes:?}");
    }
}
