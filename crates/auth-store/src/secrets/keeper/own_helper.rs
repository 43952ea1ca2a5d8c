//! This program as an exec provider of its own: answering without starting it (spec 05 section 14).

use std::path::{Path, PathBuf};

use auth_core::Secret;

use super::{KeeperKind, KeeperPlace, open_keeper};
use crate::secrets::resolver::OwnHelper;

/// Answers for providers whose program is this one.
#[derive(Debug)]
pub struct SelfHelper<'a> {
    program: PathBuf,
    place: KeeperPlace<'a>,
}

impl<'a> SelfHelper<'a> {
    /// `program` is the real path of the running program.
    pub fn new(program: PathBuf, place: KeeperPlace<'a>) -> Self {
        Self { program, place }
    }
}

/// Reads the arguments of the helper: which keeper, and its file.
pub fn helper_arguments(args: &[String]) -> Option<(KeeperKind, Option<PathBuf>)> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["secrets", "helper", kind] => Some((KeeperKind::parse(kind)?, None)),
        ["secrets", "helper", kind, "--store", file] => Some((KeeperKind::parse(kind)?, Some(PathBuf::from(file)))),
        _ => None,
    }
}

impl OwnHelper for SelfHelper<'_> {
    fn serves(&self, program: &Path, args: &[String]) -> bool {
        program == self.program && helper_arguments(args).is_some()
    }

    fn answer(&self, args: &[String], ids: &[&str]) -> Vec<Result<Secret, String>> {
        let failed = |why: String| ids.iter().map(|_| Err(why.clone())).collect();
        let Some((kind, file)) = helper_arguments(args) else { return failed("unknown helper".to_owned()) };
        let place = KeeperPlace { age_file: file.as_deref().or(self.place.age_file), ..self.place };
        match open_keeper(kind, place) {
            Ok(keeper) => keeper.get(ids),
            Err(error) => failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_arguments_count() {
        let read = |line: &str| helper_arguments(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(read("secrets helper keyring"), Some((KeeperKind::Keyring, None)));
        assert_eq!(read("secrets helper age --store /s"), Some((KeeperKind::Age, Some(PathBuf::from("/s")))));
        for line in [
            "secrets helper",
            "secrets helper vault",
            "secrets helper age --store",
            "secrets apply age",
            "--x secrets helper age",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
