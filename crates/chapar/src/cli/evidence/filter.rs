//! Which entries a question is about, apart from the citizen.

use chapar_evidence::Record;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;

/// What narrows a question. What is not given does not.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// The calling member or subsystem, or the member on whose behalf it called
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    caller: Option<String>,
    /// The clerk
    #[arg(long, value_name = "NAME")]
    pub(super) clerk: Option<String>,
    /// The case
    #[arg(long, value_name = "NUMBER")]
    case: Option<String>,
    /// The method, or the end of its name
    #[arg(long, value_name = "METHOD", value_parser = NonEmptyStringValueParser::new())]
    method: Option<String>,
    /// The purpose
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// The outcome: `OK`, or the reason of a refusal
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// From this moment on
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Timestamp>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Timestamp>,
}

impl Filter {
    pub(super) fn matches(&self, record: &Record) -> bool {
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        let is_caller = self.caller.as_deref().is_none_or(|wanted| {
            let own = record.caller == wanted || record.caller.starts_with(&format!("{wanted}/"));
            own || record.on_behalf_of == wanted
        });
        let is_method = self.method.as_deref().is_none_or(|wanted| {
            let end = record.method.strip_suffix(wanted);
            end.is_some_and(|before| before.is_empty() || before.ends_with(['.', '/']))
        });
        let time = i64::try_from(record.time_unix_ms).unwrap_or(i64::MAX);
        let is_since = self.since.is_none_or(|since| time >= since.as_millisecond());
        let is_until = self.until.is_none_or(|until| time < until.as_millisecond());
        is(&self.clerk, &record.clerk)
            && is(&self.case, &record.case)
            && is(&self.purpose, &record.purpose)
            && is(&self.outcome, &record.outcome)
            && is_caller
            && is_method
            && is_since
            && is_until
    }

    /// What was given, as `name=value`.
    pub(super) fn given(&self) -> Vec<String> {
        let texts = [
            ("caller", &self.caller),
            ("clerk", &self.clerk),
            ("case", &self.case),
            ("method", &self.method),
            ("purpose", &self.purpose),
            ("outcome", &self.outcome),
        ];
        let texts = texts.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", text.as_ref()?)));
        let times = [("since", self.since), ("until", self.until)];
        let times = times.into_iter().filter_map(|(name, time)| Some(format!("{name}={}", time?)));
        texts.chain(times).collect()
    }
}
