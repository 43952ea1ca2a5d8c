//! What was asked for, and what that allows (spec 06 section 2).

/// The options of a run.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Request {
    /// `--repair`, `--fix` or `--yes`.
    pub repair: bool,
    /// `--non-interactive` as given.
    pub non_interactive: bool,
    /// Somebody can answer.
    pub terminal: bool,
    /// `--json`.
    pub json: bool,
    /// `--check`.
    pub check: bool,
    /// `--dry-run` or `--diff`.
    pub dry_run: bool,
    /// `--refresh`.
    pub refresh: bool,
    /// `--offline`.
    pub offline: bool,
    /// `--deep`.
    pub deep: bool,
    /// `--generate-gateway-token`.
    pub generate_gateway_token: bool,
    /// An update of the program is under way: nothing of the running one is repaired unasked.
    pub updating: bool,
    /// `--agent`; all of them when empty.
    pub agents: Vec<String>,
    /// `--only`; everything when empty.
    pub only: Vec<String>,
}

/// Which rule decides whether a repair is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairKind {
    /// Asked for, with this default.
    Normal,
    /// Directories, modes and left-over files.
    Runtime,
    /// The move of an old agent directory.
    LegacyState,
    /// What happens whenever state is loaded for writing.
    Unasked,
    /// A token for the gateway.
    GatewayToken,
}

/// Whether a repair is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Make,
    /// No.
    Leave,
    /// Somebody says.
    Ask,
}

impl Request {
    /// Whether a repair of this kind is made.
    pub fn decide(&self, kind: RepairKind) -> Decision {
        // A plan shows what `--repair` would do, whatever else was asked for.
        if self.dry_run {
            return Decision::Make;
        }
        if (self.json || self.check) && !self.repair {
            return Decision::Leave;
        }
        match kind {
            RepairKind::Unasked => Decision::Make,
            RepairKind::GatewayToken if self.generate_gateway_token => Decision::Make,
            RepairKind::GatewayToken if self.non_interactive => Decision::Leave,
            RepairKind::LegacyState if self.non_interactive => Decision::Make,
            RepairKind::Runtime if self.updating => Decision::Leave,
            _ if self.repair => Decision::Make,
            _ if self.non_interactive || !self.terminal || self.json || self.check => Decision::Leave,
            _ => Decision::Ask,
        }
    }

    /// Whether findings with this code are wanted.
    pub fn wants(&self, code: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| code.starts_with(prefix.trim()))
    }

    /// The word in reports.
    pub fn mode(&self) -> &'static str {
        match (self.dry_run, self.repair) {
            (true, _) => "dry-run",
            (false, true) => "repair",
            (false, false) => "report",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_decisions_holds() {
        use Decision::{Ask, Leave, Make};
        let plain = Request::default();
        let on_terminal = Request { terminal: true, ..plain.clone() };
        let quiet = Request { non_interactive: true, terminal: true, ..plain.clone() };
        let repair = Request { repair: true, ..plain.clone() };
        let both = Request { repair: true, non_interactive: true, ..plain.clone() };
        let json = Request { json: true, terminal: true, ..plain.clone() };
        let check = Request { check: true, non_interactive: true, ..plain.clone() };
        let dry = Request { dry_run: true, ..plain.clone() };
        let updating = Request { updating: true, ..both.clone() };
        let kinds = [
            RepairKind::Normal,
            RepairKind::Runtime,
            RepairKind::LegacyState,
            RepairKind::Unasked,
            RepairKind::GatewayToken,
        ];
        for (request, expected) in [
            (&plain, [Leave, Leave, Leave, Make, Leave]),
            (&on_terminal, [Ask, Ask, Ask, Make, Ask]),
            (&quiet, [Leave, Leave, Make, Make, Leave]),
            (&repair, [Make, Make, Make, Make, Make]),
            (&both, [Make, Make, Make, Make, Leave]),
            (&json, [Leave; 5]),
            (&check, [Leave; 5]),
            (&dry, [Make; 5]),
            (&updating, [Make, Leave, Make, Make, Leave]),
        ] {
            assert_eq!(kinds.map(|kind| request.decide(kind)), expected, "{request:?}");
        }
        let token = Request { generate_gateway_token: true, non_interactive: true, ..plain };
        assert_eq!(token.decide(RepairKind::GatewayToken), Make);
    }

    #[test]
    fn codes_are_chosen_by_prefix() {
        let request = Request { only: vec!["auth.expir".to_owned()], ..Request::default() };
        assert!(request.wants("auth.expired") && request.wants("auth.expiring") && !request.wants("auth.missing"));
        assert!(Request::default().wants("anything"));
    }
}
