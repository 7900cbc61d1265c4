//! A followed operation as JSON, one object a line.

use liveops::OperationId;
use liveops::operation::Ending;
use liveops::projection::{Line, Projection};
use serde_json::{Value, json};

use super::Look;

/// What was told last: only what changed is told again.
#[derive(Default)]
pub(super) struct Objects {
    attempt: Option<(OperationId, u32)>,
    state: Value,
    stages: Value,
    status: Value,
    progress: Value,
}

impl Objects {
    /// The lines for what is news.
    pub(super) fn of(&mut self, look: &Look) -> String {
        let (record, page) = (&look.seen.record, &look.seen.projection);
        let attempt = Some((record.id, page.attempt()));
        if self.attempt != attempt {
            *self = Self { attempt, ..Self::default() };
        }
        let mut told = Vec::new();
        if !page.state().is_final() {
            told.extend(news(&mut self.state, "state", state(page)));
        }
        told.extend(look.lines.iter().map(|line| ("log", log(line))));
        if look.is_whole {
            told.extend(news(&mut self.stages, "stages", stages(page)));
            told.extend(news(&mut self.status, "status", status(page)));
            // Time alone is no news.
            if self.progress != count(page) {
                self.progress = count(page);
                told.push(("progress", progress(page)));
            }
        }
        told.extend(look.ending.as_ref().map(|ending| ("end", end(ending))));
        let whose =
            json!({ "operation": record.id.to_string(), "kind": record.kind, "attempt": page.attempt() });
        told.into_iter().map(|(name, what)| line(&whose, name, what)).collect()
    }
}

fn news(told: &mut Value, name: &'static str, now: Value) -> Option<(&'static str, Value)> {
    (*told != now).then(|| {
        told.clone_from(&now);
        (name, now)
    })
}

fn state(page: &Projection) -> Value {
    json!({ "state": page.state().as_str(), "before": page.before() })
}

fn log(line: &Line) -> Value {
    let (row, reason) = line.failure().unzip();
    json!({
        "seq": line.seq,
        "at": line.at.to_string(),
        "level": line.level.as_str(),
        "text": line.text.as_str(),
        "row": row,
        "reason": reason,
    })
}

fn stages(page: &Projection) -> Value {
    let stages = page.stages().iter();
    let stages = stages
        .map(|stage| json!({ "name": stage.name.as_str(), "state": stage.state, "percent": stage.percent }));
    json!({ "stages": stages.collect::<Vec<_>>() })
}

fn status(page: &Projection) -> Value {
    json!({ "level": page.status().level.as_str(), "text": page.status().text.as_str() })
}

fn count(page: &Projection) -> Value {
    let bar = page.bar();
    json!({
        "percent": page.overall_percent(),
        "label": bar.label().map(|label| label.as_str()),
        "unit": bar.unit().map(|unit| unit.as_str()),
        "done": bar.done(),
        "total": bar.total(),
        "ok": page.tally().ok(),
        "skipped": page.tally().skipped(),
        "failed": page.tally().failed(),
    })
}

fn progress(page: &Projection) -> Value {
    let mut progress = count(page);
    progress["rate"] = json!(page.bar().rate());
    progress["seconds_left"] = json!(page.seconds_left());
    progress
}

fn end(ending: &Ending) -> Value {
    json!({
        "state": ending.state.as_str(),
        "message": ending.message.as_ref().map(|message| message.as_str()),
        "result": ending.result,
        "next": ending.next.map(|next| next.to_string()),
        "redirect": ending.redirect,
    })
}

fn line(whose: &Value, name: &str, what: Value) -> String {
    let mut object = whose.clone();
    object["type"] = json!(name);
    if let (Value::Object(object), Value::Object(what)) = (&mut object, what) {
        object.extend(what);
    }
    let mut line = String::new();
    // JSON leaves DEL and C1 as they are, which a terminal would obey.
    for character in object.to_string().chars() {
        match character {
            control if control.is_control() => line += &format!("\\u{:04x}", u32::from(control)),
            other => line.push(other),
        }
    }
    line + "\n"
}
