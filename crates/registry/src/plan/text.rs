//! This module formats a `Plan` as people read and sign it. The summary is last, because a terminal shows the
//! end.

use std::fmt;

use chapar_contract::Class;

use super::{Effect, Plan, Seen};
use crate::change::Verb;

/// Maximum number of callers that an effect names; more are counted.
const MAX_NAMED: usize = 3;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The digests bind a signature on this text to exactly these two registries.
        writeln!(f, "base: {}\nnew:  {}", self.base, self.new)?;
        writeln!(f, "\nChanges:")?;
        for change in &self.changes {
            let sign = match change.verb {
                Verb::Added => '+',
                Verb::Changed => '~',
                Verb::Removed => '-',
            };
            writeln!(f, "  {sign} {} {}  ({})", change.kind, change.id, change.owner)?;
            for detail in &change.details {
                writeln!(f, "      {detail}")?;
            }
        }
        writeln!(f, "\nEffects:")?;
        if self.effects.is_empty() {
            writeln!(
                f,
                "  no grant gives more or less than before; read above which keys, addresses and people change"
            )?;
        }
        self.effects.iter().try_for_each(|effect| effect.fmt(f))?;
        writeln!(f, "\nTests: {} passed.", self.tests)?;
        for need in &self.needs {
            writeln!(f, "Needs: {need}")?;
        }
        let count = |verb| self.changes.iter().filter(|change| change.verb == verb).count();
        let callers = |wanted: &dyn Fn(&&Effect) -> bool| -> usize {
            self.effects.iter().filter(wanted).map(|effect| effect.callers.len()).sum()
        };
        // The summary counts sensitive and secret fields only, because most changes give public or personal
        // ones.
        let sensitive = callers(&|effect| effect.gained.iter().any(|seen| seen.class >= Class::Sensitive));
        let without = callers(&|effect| effect.access == (true, false));
        writeln!(
            f,
            "Summary: {} added, {} changed, {} removed; {sensitive} gain sensitive fields, {without} lose access.",
            count(Verb::Added),
            count(Verb::Changed),
            count(Verb::Removed),
        )
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = who(&self.callers);
        let way = match &self.on_behalf_of {
            Some(member) => format!("{}, on behalf of {member}", self.method),
            None => self.method.to_string(),
        };
        match self.access {
            (false, true) => writeln!(f, "  + {who} may call {way}")?,
            (true, false) => writeln!(f, "  - {who} may no longer call {way}")?,
            _ => writeln!(f, "  ~ {who} in {way}")?,
        }
        for (word, seen) in [("sees", &self.gained), ("no longer sees", &self.lost)] {
            for (purpose, fields) in by_purpose(seen) {
                let purpose = if purpose.is_empty() { String::new() } else { format!(" for {purpose}") };
                writeln!(f, "      {word} {}{purpose}", fields.join(", "))?;
            }
        }
        if self.rows {
            writeln!(f, "      sees other rows")?;
        }
        Ok(())
    }
}

fn who(callers: &[String]) -> String {
    match callers {
        many if many.len() > MAX_NAMED => {
            format!("{} subsystems ({}, …)", many.len(), many[..MAX_NAMED].join(", "))
        }
        few => few.join(", "),
    }
}

fn by_purpose(seen: &[Seen]) -> Vec<(&str, Vec<String>)> {
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    for one in seen {
        let field = match one.class {
            Class::Sensitive => format!("{} (SENSITIVE)", one.field),
            Class::Secret => format!("{} (SECRET)", one.field),
            Class::Public | Class::Personal => one.field.clone(),
        };
        // `seen` is ordered by purpose, so fields of one purpose are neighbours.
        match found.last_mut() {
            Some((purpose, fields)) if *purpose == one.purpose => fields.push(field),
            _ => found.push((&one.purpose, vec![field])),
        }
    }
    found
}
