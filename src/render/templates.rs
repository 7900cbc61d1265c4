//! The templates: those that are built in, and those of a folder.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, context};
use parking_lot::Mutex;

use super::filters;
use crate::progress::ElementId;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

const TEMPLATES: [(&str, &str); 23] = embedded![
    "base.html",
    "catalogue.html",
    "error.html",
    "form.html",
    "live.html",
    "live_head.html",
    "login.html",
    "login_link.html",
    "macros.html",
    "operation.html",
    "operations.html",
    "regions/controls.html",
    "regions/extra.html",
    "regions/failures.html",
    "regions/log_line.html",
    "regions/log_lines.html",
    "regions/log_more.html",
    "regions/progress.html",
    "regions/result.html",
    "regions/row.html",
    "regions/stages.html",
    "regions/status.html",
    "regions/values.html",
];

/// A template is text that people write; anything larger is another file.
const LARGEST: u64 = 1024 * 1024;
/// How deep folders in the folder are looked into.
const DEEPEST: usize = 4;

/// Why the templates of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The folder, or a file in it, cannot be read.
    #[error("templates: {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A template does not parse.
    #[error("templates: {name}, line {line}: {reason}")]
    Syntax {
        /// The template's name.
        name: String,
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

/// When the templates of a folder are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Once, at the start.
    Once,
    /// Again whenever a file changed: while somebody works on them. One that does not parse then leaves
    /// those before it in use, and the log says why.
    Always,
}

/// All templates, as they are now.
pub(super) struct Templates {
    /// Guards which set is in use; held for as long as a look at the folder takes.
    present: Mutex<(Arc<Set>, Stamps)>,
    /// The folder that is looked at again and again.
    watched: Option<PathBuf>,
}

/// What tells whether files changed: their names and when each did.
type Stamps = Vec<(PathBuf, Option<SystemTime>)>;

/// Templates that belong together.
pub(super) struct Set {
    environment: Environment<'static>,
    /// The own regions that the containers of kinds have places for.
    places: HashMap<String, BTreeSet<String>>,
}

impl Templates {
    pub(super) fn embedded() -> Self {
        let set = Set { environment: built_in(), places: HashMap::new() };
        Self { present: Mutex::new((Arc::new(set), Stamps::new())), watched: None }
    }

    /// The same, with the files of a folder: by the name of an embedded one they replace it, as
    /// `<kind>_result.html` they show the results of a kind, and any other can be included.
    pub(super) fn of(folder: &Path, reading: Reading) -> Result<Self, TemplateError> {
        let stamps = stamps(folder);
        let set = Arc::new(Set::of(folder)?);
        let watched = (reading == Reading::Always).then(|| folder.to_owned());
        Ok(Self { present: Mutex::new((set, stamps)), watched })
    }

    pub(super) fn get(&self) -> Arc<Set> {
        let mut present = self.present.lock();
        if let Some(folder) = &self.watched {
            let stamps = stamps(folder);
            if stamps != present.1 {
                present.1 = stamps;
                match Set::of(folder) {
                    Ok(set) => present.0 = Arc::new(set),
                    Err(error) => tracing::error!(%error, "the changed templates cannot be used"),
                }
            }
        }
        Arc::clone(&present.0)
    }
}

impl Set {
    fn of(folder: &Path) -> Result<Self, TemplateError> {
        let mut environment = built_in();
        add_folder(&mut environment, folder, "", 0)?;
        let places = environment.templates().filter_map(|(name, template)| {
            let kind = name.strip_suffix("_live.html")?;
            Some((kind.to_owned(), places_in(template.source())))
        });
        let places = places.collect();
        Ok(Self { environment, places })
    }

    pub(super) fn environment(&self) -> &Environment<'static> {
        &self.environment
    }

    /// The own regions that the container of a kind has places for.
    pub(super) fn places(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.places.get(kind).into_iter().flatten().map(String::as_str)
    }

    /// The templates beside those that replace a built-in one.
    pub(super) fn own(&self) -> impl Iterator<Item = &str> {
        let names = self.environment.templates().map(|(name, _)| name);
        names.filter(|name| TEMPLATES.iter().all(|(ours, _)| ours != name))
    }

    /// The templates that ask for a place where none is looked for.
    pub(super) fn misplaced(&self) -> impl Iterator<Item = &str> {
        let others = self.environment.templates().filter(|(name, _)| !name.ends_with("_live.html"));
        others.filter(|(_, template)| !places_in(template.source()).is_empty()).map(|(name, _)| name)
    }

    /// Whether the container of a kind has a place for that region.
    pub(super) fn has_place(&self, kind: &str, id: &str) -> bool {
        self.places.get(kind).is_some_and(|places| places.contains(id))
    }
}

/// The names in `live_region(op, "name")`, but for those in comments.
fn places_in(source: &str) -> BTreeSet<String> {
    let mut parts = source.split("{#");
    let begin = parts.next().unwrap_or_default();
    let after_comments = parts.map(|part| part.split_once("#}").map_or("", |(_, after)| after));
    let source: String = [begin].into_iter().chain(after_comments).collect();
    let calls = source.split("live_region").skip(1).filter_map(|call| call.trim_start().strip_prefix('('));
    let names = calls.filter_map(|call| {
        let (_, rest) = call.split_once(')')?.0.split_once(',')?;
        let name = rest.trim().trim_matches(['"', '\'']);
        ElementId::new(name).ok().map(|id| id.to_string())
    });
    names.collect()
}

/// The files of a folder, as far as templates are looked for in it, and when each changed.
fn stamps(folder: &Path) -> Stamps {
    fn add(stamps: &mut Stamps, folder: &Path, depth: usize) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, metadata) = (entry.path(), fs::metadata(entry.path()));
            if depth < DEEPEST && metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
                add(stamps, &path, depth + 1);
            }
            stamps.push((path, metadata.and_then(|metadata| metadata.modified()).ok()));
        }
    }
    let mut stamps = Stamps::new();
    add(&mut stamps, folder, 0);
    stamps.sort();
    stamps
}

/// What stands in the place of what failed to render: an empty box would look like a quiet operation.
pub(super) const BROKEN: &str = "This part of the page could not be shown. The server's log says why.";

/// The templates that are built in.
///
/// # Panics
/// When one of them does not parse, which a test rules out.
pub(super) fn built_in() -> Environment<'static> {
    let mut templates = Environment::new();
    // Whatever a template is called, what it makes is HTML, but for those that say that they are text.
    templates.set_auto_escape_callback(|name| {
        if name.ends_with(".txt") { AutoEscape::None } else { AutoEscape::Html }
    });
    templates.set_formatter(filters::escape_visibly);
    templates.add_filter("grouped", filters::grouped);
    templates.add_filter("json_text", |value: Value| filters::json_text(&value));
    templates.add_filter("lines", filters::lines);
    templates.add_filter("duration", filters::duration);
    templates.add_filter("bytes", filters::bytes);
    templates.add_filter("when", filters::when);
    templates.add_function("live_head", |state: &mut State, op: Value| safe(live_head(state.env(), &op)));
    templates.add_function("live_operation", |state: &mut State, op: Value| {
        safe(live_operation(state.env(), &op))
    });
    templates.add_function("live_region", |op: Value, name: &str| live_region(&op, name));
    templates.add_function("render_op_result", render_op_result);
    for (name, source) in TEMPLATES {
        templates.add_template(name, source).expect("the embedded templates parse");
    }
    templates
}

/// The template for the results of a kind.
pub(super) fn result_of(kind: &str) -> String {
    format!("{kind}_result.html")
}

fn add_folder(
    templates: &mut Environment<'static>,
    folder: &Path,
    prefix: &str,
    depth: usize,
) -> Result<(), TemplateError> {
    let failed = |path: &Path, reason: String| TemplateError::Unreadable { path: path.to_owned(), reason };
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, error.to_string()))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error.to_string()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        let kind = fs::metadata(&path).map_err(|error| failed(&path, error.to_string()))?;
        if kind.is_dir() && depth < DEEPEST {
            add_folder(templates, &path, &format!("{name}/"), depth + 1)?;
        } else if kind.is_file() && (name.ends_with(".html") || name.ends_with("_result.txt")) {
            if kind.len() > LARGEST {
                return Err(failed(&path, "it is larger than 1 MiB".to_owned()));
            }
            let source = fs::read_to_string(&path).map_err(|error| failed(&path, error.to_string()))?;
            templates.add_template_owned(name.clone(), source).map_err(|error| TemplateError::Syntax {
                name,
                line: error.line().unwrap_or(0),
                reason: reason(&error),
            })?;
        }
    }
    Ok(())
}

/// What is wrong, on one line.
fn reason(error: &Error) -> String {
    let kind = error.kind().to_string();
    let reason = error.detail().map_or_else(|| kind.clone(), |detail| format!("{kind}: {detail}"));
    reason.replace('\n', " ")
}

/// What the templates of an application get from those of `ours`.
pub(super) fn lend(ours: &Arc<Templates>, theirs: &mut Environment<'_>) {
    let templates = Arc::clone(ours);
    theirs.add_function("live_head", move |op: Value| safe(live_head(templates.get().environment(), &op)));
    let templates = Arc::clone(ours);
    theirs.add_function("live_operation", move |op: Value| {
        safe(live_operation(templates.get().environment(), &op))
    });
}

/// `live_head(op)`: what the container needs in its page's head.
pub(super) fn live_head(templates: &Environment<'_>, op: &Value) -> Result<String, Error> {
    let (csrf, site) = (op.get_attr("csrf")?, op.get_attr("site")?);
    templates.get_template("live_head.html")?.render(context! { op, csrf, site })
}

/// `live_operation(op)`: the container of an operation's page.
pub(super) fn live_operation(templates: &Environment<'_>, op: &Value) -> Result<String, Error> {
    let regions = op.get_attr("regions")?;
    let kind = op.get_attr("kind")?;
    let own = templates.get_template(&format!("{}_live.html", kind.as_str().unwrap_or_default()));
    own.or_else(|_| templates.get_template("live.html"))?.render(context! { op, regions })
}

fn safe(html: Result<String, Error>) -> Result<Value, Error> {
    html.map(Value::from_safe_string)
}

/// `live_region(op, "name")`: the place of a region of the operation's own, with what stands in it.
fn live_region(op: &Value, name: &str) -> Result<Value, Error> {
    let id =
        ElementId::new(name).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    let own = op.get_attr("own")?.get_attr(id.as_str())?;
    if !own.is_undefined() {
        return Ok(own);
    }
    let operation = op.get_attr("id")?;
    Ok(Value::from_safe_string(own_element(&operation.to_string(), id.as_str(), "")))
}

/// The element of a region of the operation's own.
pub(super) fn own_element(operation: &str, id: &str, pieces: &str) -> String {
    format!("<div id=\"op-{operation}-{id}\" class=\"liveop-own\">{pieces}</div>")
}

/// `render_op_result(op)`: what it came to, by `<kind>_result.html` where there is one, else each key
/// with its value.
fn render_op_result(state: &mut State, op: Value) -> Result<Value, Error> {
    let kind = op.get_attr("kind")?;
    let result = op.get_attr("result")?;
    let own = state.env().get_template(&result_of(kind.as_str().unwrap_or_default()));
    let template = own.or_else(|_| state.env().get_template("regions/values.html"))?;
    // The message that it ended with, and what can be done, are shown all the same.
    let html = template.render(context! { op, result }).unwrap_or_else(|error| {
        tracing::error!(template = template.name(), %error, "a result failed to render");
        format!("<p class=\"liveop-broken\">{BROKEN}</p>")
    });
    Ok(Value::from_safe_string(html))
}
