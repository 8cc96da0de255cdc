//! `Binder` turns request fields into bound values of a prepared statement. No text of a request becomes SQL,
//! so SQL injection is impossible. It also reads the subject that a response must be about. The SQL text is
//! in `statement`.

use std::borrow::Cow;
use std::sync::Arc;

use chapar_contract::{FieldPath, Format, Method};
use chapar_model::Reason;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::date;
use crate::finding::{Finding, did_you_mean};
use crate::form::{Form, form};
use crate::method_file::{BoundForm, MethodFile, Name};
use crate::shape::resolve;
use crate::source::{Cell, Failure, Parameter};

/// How one method's requests are bound.
#[derive(Debug)]
pub(crate) struct Binder {
    input: MessageDescriptor,
    parameters: Vec<Field>,
    checked: Vec<Field>,
    subject: Option<Field>,
    has_pages: bool,
}

/// A request that was read.
pub(crate) struct BoundRequest {
    /// In binding order.
    pub(crate) parameters: Vec<Parameter>,
    /// Whom the rows must be about.
    pub(crate) subject: Option<Arc<str>>,
    /// Of a method that answers page by page: the rows of a page, 0 if that is left open.
    pub(crate) page_size: i32,
    /// The same: empty for the first page.
    pub(crate) page_token: String,
}

/// Fields of a request for a page (AIP-158), which no statement reads.
const PAGE_FIELDS: [&str; 2] = ["page_size", "page_token"];

#[derive(Clone, Debug)]
struct Field {
    path: Arc<str>,
    steps: Vec<FieldDescriptor>,
    format: Option<Format>,
    required: bool,
    bound: BoundForm,
}

impl Binder {
    /// Matches the placeholders of `file` with the request fields of `method`: every placeholder a field,
    /// every field used or declared unused.
    pub(crate) fn new(method: &Method, file: &MethodFile) -> Result<Self, Vec<Finding>> {
        let input = method.input().clone();
        let field = |steps: Vec<FieldDescriptor>| {
            let names: Vec<&str> = steps.iter().map(FieldDescriptor::name).collect();
            let path: Arc<str> = names.join(".").into();
            let rule = method.formats().iter().find(|rule| *rule.path.as_str() == *path);
            Field {
                steps,
                format: rule.map(|rule| rule.format),
                required: rule.is_some_and(|rule| rule.required),
                bound: bound_form(file, &path),
                path,
            }
        };
        let mut known = leaves(&input, "", &mut Vec::new());
        let has_pages = method.next_page_token().is_some();
        known.retain(|path| !has_pages || !PAGE_FIELDS.contains(&path.as_str()));
        let written = |name: &Name| file.syntax.placeholder(&name.text);
        let mut findings = Vec::new();
        let mut parameters = Vec::new();
        for name in file.parameters() {
            if has_pages && PAGE_FIELDS.contains(&name.text.as_str()) {
                let message =
                    format!("`{}` is not for the statement: the adapter makes the pages", written(name));
                findings.push(file.finding_at(name, message));
                continue;
            }
            match placeholder(&input, &name.text) {
                Some(steps) => match bindable(&steps) {
                    Ok(()) => parameters.push(field(steps)),
                    Err(fault) => {
                        findings.push(file.finding_at(name, format!("`{}` {fault}", written(name))))
                    }
                },
                None => {
                    let message = format!("`{}` is no field of {}", written(name), input.full_name());
                    let finding = file.finding_at(name, message);
                    findings.push(match did_you_mean(&name.text, known.iter().map(String::as_str)) {
                        Some(help) => finding.with_help(help),
                        None => finding,
                    });
                }
            }
        }
        let declared = |path: &str| {
            // A path is written with `__` in SQL, where a dot would separate a table from its column.
            file.unused().iter().any(|name| name.text == path || name.text.replace("__", ".") == path)
        };
        for path in &known {
            let used = parameters.iter().any(|field| *field.path == **path);
            // A field that is ignored in silence would let a caller believe that the answer is narrowed by
            // it.
            if !used && !declared(path) {
                let message = format!("the request field `{path}` is not used");
                let help = format!(
                    "use `{}`, or begin the file with `{}`",
                    file.syntax.placeholder(path),
                    file.syntax.comment(&format!("unused: {path}"))
                );
                findings.push(file.finding_about("", message).with_help(help));
            }
        }
        for name in file.unused() {
            if !known.iter().any(|path| *path == name.text || *path == name.text.replace("__", ".")) {
                let message = format!("`unused: {}` is no field of {}", name.text, input.full_name());
                findings.push(file.finding_at(name, message));
            }
        }
        // A wrong declaration is a fault too: ignored, it would bind another form than the agency asked for.
        findings.extend(bound_form_findings(method, file));
        let steps = |path: &FieldPath| resolve(&input, path.as_str().split('.'));
        let checked = method.formats().iter().filter_map(|rule| steps(&rule.path)).map(field).collect();
        let subject = method.subject().and_then(steps).map(field);
        if findings.is_empty() {
            Ok(Self { input, parameters, checked, subject, has_pages })
        } else {
            Err(findings)
        }
    }

    /// Sample values for every placeholder, of the right types, which no record is likely to have. They are
    /// for trying a statement out.
    pub(crate) fn samples(&self) -> Vec<Parameter> {
        self.parameters.iter().map(Field::sample).collect()
    }

    /// A value of a column as the placeholder of this number would be bound; `None` if it is of another type.
    pub(crate) fn real(&self, number: usize, cell: Cell<'_>) -> Option<Parameter> {
        Some(match (self.parameters.get(number)?.sample(), cell) {
            (Parameter::Text(_), Cell::Text(text)) => Parameter::Text(String::from_utf8(text.to_vec()).ok()?),
            (Parameter::Integer(_), Cell::Integer(number)) => Parameter::Integer(number),
            (Parameter::Real(_), Cell::Real(number)) => Parameter::Real(number),
            (Parameter::Blob(_), Cell::Blob(bytes)) => Parameter::Blob(bytes.to_vec()),
            // A value of another type is none that a caller could send.
            _ => return None,
        })
    }

    /// The request field behind each placeholder that is bound as text, by the placeholder's place in the
    /// statement.
    pub(crate) fn bound_as_text(&self) -> impl Iterator<Item = usize> {
        let is_text = |field: &Field| matches!(field.sample(), Parameter::Text(_));
        self.parameters.iter().enumerate().filter(move |(_, field)| is_text(field)).map(|(number, _)| number)
    }

    /// Those among [`Binder::bound_as_text`] whose text no format restricts.
    pub(crate) fn bound_as_free_text(&self) -> impl Iterator<Item = usize> {
        self.bound_as_text()
            .filter(|number| self.parameters.get(*number).is_some_and(|field| field.format.is_none()))
    }

    /// Reads `request`.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` if the bytes are no such message, `FIELD_INVALID` with the path of the first wrong
    /// field.
    pub(crate) fn bind(&self, request: &[u8]) -> Result<BoundRequest, Failure> {
        // The gateway has checked these bytes too, but the adapter needs the values, and does not rely on
        // that check.
        let message = DynamicMessage::decode(self.input.clone(), request)
            .map_err(|_| Failure::new(Reason::RequestMalformed, "the request is not a valid message"))?;
        // Formats are checked before the subject is read, because the subject is compared in its canonical
        // form.
        for field in &self.checked {
            let text = field.read(&message);
            let text = text.as_deref().and_then(Value::as_str);
            let valid = match (text, field.format) {
                (None | Some(""), _) => !field.required,
                (Some(text), Some(format)) => format.check(text),
                (Some(_), None) => true,
            };
            if !valid {
                return Err(field.invalid("missing, or not in its format"));
            }
        }
        // The subject is read from the request and not from metadata, so that rows are compared with what is
        // asked here.
        let subject = match &self.subject {
            None => None,
            Some(field) => match field.parameter(&message)? {
                Parameter::Text(text) if !text.is_empty() => Some(text.into()),
                Parameter::Integer(number) => Some(number.to_string().into()),
                // Without an optional subject no row is compared with one.
                _ if field.is_optional() => None,
                _ => return Err(field.invalid("the subject is missing")),
            },
        };
        let parameters =
            self.parameters.iter().map(|field| field.parameter(&message)).collect::<Result<_, _>>()?;
        let page = |name: &str| message.get_field_by_name(name).filter(|_| self.has_pages);
        let page_size = page("page_size").and_then(|size| size.as_i32()).unwrap_or_default();
        let page_token = page("page_token").and_then(|token| token.as_str().map(str::to_owned));
        Ok(BoundRequest { parameters, subject, page_size, page_token: page_token.unwrap_or_default() })
    }
}

impl Field {
    fn sample(&self) -> Parameter {
        match self.steps.last().map(FieldDescriptor::kind) {
            Some(Kind::String) => Parameter::Text("chapar0check".to_owned()),
            Some(Kind::Bytes) => Parameter::Blob(b"chapar0check".to_vec()),
            Some(Kind::Bool) => Parameter::Integer(0),
            Some(Kind::Double | Kind::Float) => Parameter::Real(-1.5),
            Some(Kind::Message(message)) if message.full_name() == "google.type.Date" => {
                Parameter::Text("0001-01-01".to_owned())
            }
            Some(Kind::Message(_)) => Parameter::Timestamp(jiff::Timestamp::constant(-62_135_596_800, 0)),
            _ => Parameter::Integer(-1),
        }
    }

    fn is_optional(&self) -> bool {
        self.steps.last().is_some_and(FieldDescriptor::supports_presence)
    }

    fn invalid(&self, detail: &'static str) -> Failure {
        Failure::of_field(Reason::FieldInvalid, Arc::clone(&self.path), detail)
    }

    /// The field's value; `None` if it, or a message around it, is not set.
    fn read<'a>(&self, message: &'a DynamicMessage) -> Option<Cow<'a, Value>> {
        let (last, around) = self.steps.split_last()?;
        let mut message = message;
        for step in around {
            message = match message.has_field(step).then(|| message.get_field(step)) {
                Some(Cow::Borrowed(Value::Message(inner))) => inner,
                _ => return None,
            };
        }
        (!last.supports_presence() || message.has_field(last)).then(|| message.get_field(last))
    }

    fn parameter(&self, message: &DynamicMessage) -> Result<Parameter, Failure> {
        // A field that is not set becomes NULL and not an empty text, so that a statement can tell them
        // apart.
        let Some(value) = self.read(message) else { return Ok(Parameter::Null) };
        Ok(match value.as_ref() {
            // SQLite has no booleans, and stores 0 and 1.
            Value::Bool(value) => Parameter::Integer((*value).into()),
            Value::I32(value) => Parameter::Integer((*value).into()),
            Value::I64(value) => Parameter::Integer(*value),
            Value::U32(value) => Parameter::Integer((*value).into()),
            // SQLite's integers are signed (64 bits). A larger value would be bound as a negative one.
            Value::U64(value) => Parameter::Integer(
                i64::try_from(*value).map_err(|_| self.invalid("larger than the database's integers"))?,
            ),
            // An unknown number is refused, because a statement could give it any meaning.
            Value::EnumNumber(value) => match self.steps.last().map(FieldDescriptor::kind) {
                Some(Kind::Enum(names)) if names.get_value(*value).is_some() => {
                    Parameter::Integer((*value).into())
                }
                _ => return Err(self.invalid("no value of the enum")),
            },
            Value::F32(value) => self.real((*value).into())?,
            Value::F64(value) => self.real(*value)?,
            Value::String(value) => Parameter::Text(match (self.format, self.bound) {
                (Some(format), BoundForm::Canonical) => format.normalise(value),
                (Some(format), BoundForm::National) => {
                    format.national(value).unwrap_or_else(|| value.clone())
                }
                (Some(_), BoundForm::Given) | (None, _) => value.clone(),
            }),
            Value::Bytes(value) => Parameter::Blob(value.to_vec()),
            Value::Message(message) => self.time(message)?,
            Value::List(_) | Value::Map(_) => return Err(self.invalid("repeated")),
        })
    }

    /// SQLite would store NaN as NULL, and another comparison would be made than the one asked for.
    fn real(&self, value: f64) -> Result<Parameter, Failure> {
        if value.is_finite() { Ok(Parameter::Real(value)) } else { Err(self.invalid("not a finite number")) }
    }

    fn time(&self, message: &DynamicMessage) -> Result<Parameter, Failure> {
        let part = |name: &str| {
            // A part that is not set is 0, as in protobuf.
            let value = message.get_field_by_name(name);
            value.and_then(|value| value.as_i64().or(value.as_i32().map(i64::from))).unwrap_or(0)
        };
        let parameter = if message.descriptor().full_name() == "google.type.Date" {
            // A date may lack its day, or its month and day (google.type.Date). It is bound as the text that
            // such a column holds.
            let text = match (part("year"), part("month"), part("day")) {
                (year, 0, 0) => format!("{year:04}"),
                (year, month, 0) => format!("{year:04}-{month:02}"),
                (year, month, day) => format!("{year:04}-{month:02}-{day:02}"),
            };
            date::parse(&text).map(|_| Parameter::Text(text))
        } else {
            let nanos = i32::try_from(part("nanos")).ok().filter(|nanos| (0..1_000_000_000).contains(nanos));
            let time = nanos.and_then(|nanos| jiff::Timestamp::new(part("seconds"), nanos).ok());
            time.map(Parameter::Timestamp)
        };
        parameter.ok_or_else(|| self.invalid("no such date or time"))
    }
}

/// The form that the file declares for a field, else the canonical one.
fn bound_form(file: &MethodFile, path: &str) -> BoundForm {
    let own = |name: &str| name == path || name.replace("__", ".") == path;
    let declared = file.bound_forms().iter().find(|declared| own(&declared.name.text));
    declared.map_or(BoundForm::Canonical, |declared| declared.value)
}

/// Declared forms of fields without a format, or whose format has no such form.
fn bound_form_findings(method: &Method, file: &MethodFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for declared in file.bound_forms() {
        let name = &declared.name;
        let own =
            |path: &FieldPath| path.as_str() == name.text || path.as_str() == name.text.replace("__", ".");
        let text = match method.formats().iter().find(|rule| own(&rule.path)) {
            None => format!("`bind {}` is no request field with a format", name.text),
            Some(rule) if declared.value == BoundForm::National && rule.format != Format::IrMobile => {
                format!("`bind {}: national`: only mobile numbers have a national form", name.text)
            }
            Some(_) => continue,
        };
        findings.push(file.finding_at(name, text));
    }
    findings
}

/// A top-level field of that name, else the path `a.b`, which SQL writes as `a__b`.
pub(crate) fn placeholder(input: &MessageDescriptor, name: &str) -> Option<Vec<FieldDescriptor>> {
    // The plain name comes first, because a field's own name may contain `__`.
    resolve(input, std::iter::once(name)).or_else(|| resolve(input, name.replace("__", ".").split('.')))
}

fn bindable(steps: &[FieldDescriptor]) -> Result<(), &'static str> {
    if steps.iter().any(|field| field.is_list() || field.is_map()) {
        return Err("is repeated: a placeholder holds one value");
    }
    let last = steps.last().ok_or("is empty")?;
    match form(last) {
        // These have no form of their own in every database, and their parts do.
        Ok(Form::Decimal | Form::Duration | Form::Json(_) | Form::TimeOfDay) | Err(_) => {
            Err("is a message: name one of its fields, as in `message.field`")
        }
        Ok(_) => Ok(()),
    }
}

/// Every request field that can hold a value, dotted. A message inside itself is one field: its paths would
/// have no end.
fn leaves(message: &MessageDescriptor, prefix: &str, inside: &mut Vec<String>) -> Vec<String> {
    let mut paths = Vec::new();
    inside.push(message.full_name().to_owned());
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        let is_leaf =
            field.is_list() || field.is_map() || matches!(form(&field), Ok(Form::Date | Form::Timestamp));
        match field.kind() {
            // The check against itself ends recursive messages, whose paths would have no end.
            Kind::Message(inner) if !is_leaf && !inside.iter().any(|name| name == inner.full_name()) => {
                paths.extend(leaves(&inner, &format!("{path}."), inside));
            }
            _ => paths.push(path),
        }
    }
    inside.pop();
    paths
}
