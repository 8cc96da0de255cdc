//! This module has the procedure that tests ask: a person, and whether what they say of themselves is true.

use crate::Bus;

/// Whose procedure it is.
pub const LOANS: &str = "com/agri-bank/loans";

const FARM_LOAN: &str = r#"
[procedure]
name    = { fa = "وام کشاورزی", en = "Farm loan" }
purpose = "loan.farm"
callers = ["com/agri-bank/loans"]

[[input]]
id   = "birth_date"
name = { fa = "تاریخ تولد", en = "Date of birth" }

[[part]]
id       = "person"
method   = "civil.v1.CivilRegistry/GetPerson"
replaces = { fa = "رونوشت شناسنامه", en = "Copy of the identity booklet" }

[[part]]
id      = "identity"
method  = "civil.v1.CivilRegistry/VerifyIdentity"
request = { given_name = "person.given_name", family_name = "person.family_name", birth_date = "input.birth_date" }
"#;

impl Bus {
    /// Adds the procedure `farm-loan` to the registry, and has the gateway take it up.
    ///
    /// # Panics
    /// If the gateway refuses it.
    pub async fn add_procedure(&self) {
        std::fs::create_dir_all(self.folder().join("registry/procedures")).expect("a folder");
        self.add("procedures/farm-loan.toml", FARM_LOAN);
        let said = self.reload().await;
        assert!(!said.contains("error"), "{said}");
    }
}
