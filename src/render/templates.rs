//! The templates: those that are built in, and those of a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, State, context};

use super::filters;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

const TEMPLATES: [(&str, &str); 22] = embedded![
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

/// The templates that are built in.
///
/// # Panics
/// When one of them does not parse, which a test rules out.
pub(super) fn embedded() -> Environment<'static> {
    let mut templates = Environment::new();
    // Whatever a template is called, what it makes is HTML.
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_formatter(filters::escape_visibly);
    templates.add_filter("grouped", filters::grouped);
    templates.add_filter("json_text", |value: Value| filters::json_text(&value));
    templates.add_filter("duration", filters::duration);
    templates.add_filter("when", filters::when);
    templates.add_function("live_head", |state: &mut State, op: Value| safe(live_head(state.env(), &op)));
    templates.add_function("live_operation", |state: &mut State, op: Value| {
        safe(live_operation(state.env(), &op))
    });
    templates.add_function("render_op_result", render_op_result);
    for (name, source) in TEMPLATES {
        templates.add_template(name, source).expect("the embedded templates parse");
    }
    templates
}

/// The same, with the `.html` files of a folder: by the name of an embedded one they replace it, as
/// `<kind>_result.html` they show the results of a kind, and any other can be included.
pub(super) fn with_those_of(folder: &Path) -> Result<Environment<'static>, TemplateError> {
    let mut templates = embedded();
    add_folder(&mut templates, folder, "", 0)?;
    Ok(templates)
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
        } else if kind.is_file() && name.ends_with(".html") {
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
pub(super) fn lend(ours: &Arc<Environment<'static>>, theirs: &mut Environment<'_>) {
    let templates = Arc::clone(ours);
    theirs.add_function("live_head", move |op: Value| safe(live_head(&templates, &op)));
    let templates = Arc::clone(ours);
    theirs.add_function("live_operation", move |op: Value| safe(live_operation(&templates, &op)));
}

/// `live_head(op)`: what the container needs in its page's head.
pub(super) fn live_head(templates: &Environment<'_>, op: &Value) -> Result<String, Error> {
    let (csrf, site) = (op.get_attr("csrf")?, op.get_attr("site")?);
    templates.get_template("live_head.html")?.render(context! { op, csrf, site })
}

/// `live_operation(op)`: the container of an operation's page.
pub(super) fn live_operation(templates: &Environment<'_>, op: &Value) -> Result<String, Error> {
    let regions = op.get_attr("regions")?;
    templates.get_template("live.html")?.render(context! { op, regions })
}

fn safe(html: Result<String, Error>) -> Result<Value, Error> {
    html.map(Value::from_safe_string)
}

/// `render_op_result(op)`: what it came to, by `<kind>_result.html` where there is one, else each key
/// with its value.
fn render_op_result(state: &mut State, op: Value) -> Result<Value, Error> {
    let kind = op.get_attr("kind")?;
    let result = op.get_attr("result")?;
    let own = state.env().get_template(&result_of(kind.as_str().unwrap_or_default()));
    let template = own.or_else(|_| state.env().get_template("regions/values.html"))?;
    let html = template.render(context! { op, result })?;
    Ok(Value::from_safe_string(html))
}
