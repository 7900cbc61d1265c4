//! The kinds that this process can run, as runtime values.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use super::form::fault;

use super::{Ending, Field, Operation, Result};
use crate::progress::Progress;

type RunFuture = Pin<Box<dyn Future<Output = Result>>>;
type RunFn = dyn Fn(Value, u32, Progress) -> RunFuture + Send + Sync;
type FinishFuture = Pin<Box<dyn Future<Output = Result<()>>>>;
type FinishFn = dyn Fn(Value, Ending) -> FinishFuture + Send + Sync;
type LabelFn = dyn Fn(&Value) -> std::result::Result<String, serde_json::Error> + Send + Sync;

/// A kind of operation with its run erased, so that kinds made at run time can stand beside types.
#[derive(Clone)]
pub struct Kind {
    /// Its name in addresses and records.
    pub name: String,
    /// What a person reads in the catalogue.
    pub title: String,
    /// A sentence or two about it.
    pub description: String,
    /// The fields of its form.
    pub fields: Vec<Field>,
    /// The group whose members may start it, and superusers; everybody, without one.
    pub group: Option<String>,
    /// How many of it may run at once, in all processes; any number, without it.
    pub at_once: Option<u32>,
    /// Whether its operations are in their owners' lists; each has its page all the same.
    pub listed: bool,
    /// Whether an attempt that its process did not live to end is repeated by itself.
    pub repeatable: bool,
    label: Arc<LabelFn>,
    run: Arc<RunFn>,
    finish: Arc<FinishFn>,
}

impl Kind {
    /// The kind of the type `O`.
    pub fn of<O: Operation>() -> Self {
        Self {
            name: O::KIND.to_owned(),
            title: O::TITLE.to_owned(),
            description: O::DESCRIPTION.to_owned(),
            fields: O::fields(),
            group: O::GROUP.map(str::to_owned),
            at_once: O::AT_ONCE.filter(|limit| *limit > 0),
            listed: O::LISTED,
            repeatable: O::REPEATABLE,
            label: Arc::new(|input| Ok(serde_json::from_value::<O>(input.clone())?.label())),
            run: Arc::new(|input, attempt, progress| {
                Box::pin(async move {
                    let mut operation: O = serde_json::from_value(input)?;
                    if attempt > 1 {
                        operation.on_restart(attempt).await?;
                    }
                    operation.run(progress).await
                })
            }),
            finish: Arc::new(|input, ending| {
                Box::pin(async move { serde_json::from_value::<O>(input)?.on_finish(ending).await })
            }),
        }
    }

    /// What a run with this input is called.
    ///
    /// # Errors
    /// When the input does not fit the kind.
    pub fn label(&self, input: &Value) -> std::result::Result<String, serde_json::Error> {
        (self.label)(input)
    }

    /// Whether a form can start it: one that has no fields sends nothing, which has to be an input.
    pub fn has_form(&self) -> bool {
        !self.fields.is_empty() || self.label(&Value::Object(serde_json::Map::new())).is_ok()
    }

    /// Lets `prepare` look at each input before the operation sees it.
    pub(crate) fn prepared(mut self, prepare: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        let prepare = Arc::new(prepare);
        let run = Arc::clone(&self.run);
        self.run = Arc::new({
            let prepare = Arc::clone(&prepare);
            move |mut input, attempt, progress| {
                prepare(&mut input);
                run(input, attempt, progress)
            }
        });
        let finish = Arc::clone(&self.finish);
        self.finish = Arc::new(move |mut input, ending| {
            prepare(&mut input);
            finish(input, ending)
        });
        self
    }

    /// Makes the future that does the work of an attempt. It is to be driven on the thread that called this.
    pub(crate) fn run(&self, input: Value, attempt: u32, progress: Progress) -> RunFuture {
        (self.run)(input, attempt, progress)
    }

    /// Makes the future that tells the operation how it ended. It is to be driven on the thread that called this.
    pub(crate) fn finish(&self, input: Value, ending: Ending) -> FinishFuture {
        (self.finish)(input, ending)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a client needs to offer it: its names and its fields.
///
/// ```
/// use liveops::kinds::Simulate;
/// use liveops::operation::Kind;
///
/// let kind = serde_json::to_value(Kind::of::<Simulate>())?;
/// assert_eq!(kind["name"], "simulate");
/// assert_eq!(kind["fields"][0]["name"], "steps");
/// assert_eq!(kind["fields"][0]["type"], "number");
/// # Ok::<(), serde_json::Error>(())
/// ```
impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut kind = serializer.serialize_struct("Kind", 5)?;
        kind.serialize_field("name", &self.name)?;
        kind.serialize_field("title", &self.title)?;
        kind.serialize_field("description", &self.description)?;
        kind.serialize_field("group", &self.group)?;
        kind.serialize_field("fields", &self.fields)?;
        kind.end()
    }
}

/// Kinds have templates called like them, so none may be called like one that every kind shares.
const TEMPLATES: [&str; 11] = [
    "base",
    "catalogue",
    "error",
    "form",
    "live",
    "live_head",
    "login",
    "login_link",
    "macros",
    "operation",
    "operations",
];

/// A kind that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The name has characters that do not belong into an address.
    #[error("kind {0:?}: a kind's name is a lower-case letter and then lower-case letters, digits or '_'")]
    Name(String),
    /// A template of that name is for something else.
    #[error("kind {0:?}: the template {0}.html is not a kind's page: give it another name")]
    Template(String),
    /// Two kinds have one name.
    #[error("kind {0:?} is registered twice: give one of them another name")]
    Twice(String),
    /// A field of its form cannot be used.
    #[error("kind {kind:?}, field {field:?}: {reason}")]
    Field {
        /// The kind.
        kind: String,
        /// Its field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The kinds of this process, in the order in which they were added: the catalogue's.
#[derive(Debug, Clone, Default)]
pub struct Registry(Vec<Kind>);

impl Registry {
    /// Adds a kind.
    ///
    /// # Errors
    /// When its name is not usable or taken, or a field of it not usable.
    pub fn add(&mut self, kind: Kind) -> std::result::Result<(), RegistryError> {
        let mut chars = kind.name.chars();
        let well_formed = chars.next().is_some_and(|c| c.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !well_formed {
            return Err(RegistryError::Name(kind.name));
        }
        if self.get(&kind.name).is_some() {
            return Err(RegistryError::Twice(kind.name));
        }
        let parts = ["form", "live", "result"];
        let is_part = |whole: &str, part: &str| {
            let rest = part.strip_prefix(whole).and_then(|rest| rest.strip_prefix('_'));
            rest.is_some_and(|rest| parts.contains(&rest))
        };
        let doubles = |other: &Kind| is_part(&other.name, &kind.name) || is_part(&kind.name, &other.name);
        if TEMPLATES.contains(&kind.name.as_str()) || self.iter().any(doubles) {
            return Err(RegistryError::Template(kind.name));
        }
        if let Some((field, reason)) = fault(&kind.fields) {
            return Err(RegistryError::Field { kind: kind.name, field, reason });
        }
        self.0.push(kind);
        Ok(())
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&Kind> {
        self.0.iter().find(|kind| kind.name == name)
    }

    /// Every kind.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }
}
