//! One region of an operation's page, from data to HTML.

use std::borrow::Cow;

use minijinja::context;
use minijinja::value::{Serde, Value};

use super::{Renderer, SECONDS, earlier_logs, templates};
use crate::projection::{Line, Projection, Region, Shown, whole};
use crate::stream::Subject;

/// So much of a log line is shown on a page, in bytes; the whole log has all of it.
const LINE_SHOWN: usize = 8 * 1024;

impl Renderer {
    /// One region as its whole element. What fails to render says so in its place: an empty box
    /// would look like a quiet operation.
    pub(super) fn region(
        &self,
        region: Region,
        subject: &Subject,
        projection: &Projection,
        log: &Shown<'_>,
        csrf: &str,
    ) -> String {
        let element = format!("op-{}", subject.id);
        let name = format!("regions/{}.html", region.name().replace('-', "_"));
        let context = self.region_context(region, &element, subject, projection, log, csrf);
        self.page(&name, context).unwrap_or_else(|error| {
            tracing::error!(operation = %subject.id, region = region.name(), %error, "a region failed to render");
            format!(
                "<div id=\"{element}-{}\" class=\"liveop-broken\">{}</div>",
                region.name(),
                templates::BROKEN
            )
        })
    }

    fn region_context(
        &self,
        region: Region,
        element: &str,
        subject: &Subject,
        projection: &Projection,
        log: &Shown<'_>,
        csrf: &str,
    ) -> Value {
        let at = &self.addresses;
        let (id, state) = (subject.id, projection.state());
        let base = context! { id => element, state => state.as_str() };
        let own = match region {
            Region::Stages => {
                let stages = projection.stages().iter().map(|stage| {
                    // Of the operation's own time, so that nobody's clock is needed to go on counting.
                    let began = stage.started.and_then(|at| projection.seconds_until(at));
                    let began_seconds = began.map(|began| (began * 10.0).round() / 10.0);
                    context! { began_seconds, ..Value::from(Serde(stage)) }
                });
                context! { stages => stages.collect::<Vec<_>>() }
            }
            Region::Status => {
                let status = projection.status();
                context! {
                    word => state.word(),
                    text => Some(status.text.as_str()).filter(|text| !text.is_empty()),
                    level => status.level.as_str(),
                    before => projection.before(),
                    took_seconds => projection.elapsed_seconds().filter(|_| state.is_final()),
                }
            }
            Region::Progress => {
                let (bar, stages) = (projection.bar(), projection.stages());
                let stage = stages.counted_name();
                // Of a stage that nobody could name, beside the percent of the whole.
                let unclear = state.is_final() && stage.is_none() && !stages.is_empty();
                context! {
                    active => !state.is_final(),
                    attempt => projection.attempt(),
                    percent => projection.overall_percent().map(whole),
                    label => bar.label().map(|label| label.as_str()),
                    unit => bar.unit().map(|unit| unit.as_str()),
                    done => bar.done().filter(|_| !unclear),
                    total => bar.total(),
                    ok => projection.tally().ok(),
                    skipped => projection.tally().skipped(),
                    failed => projection.tally().failed(),
                    rate => bar.rate().map(readable),
                    seconds_left => projection.seconds_left().map(f64::ceil),
                    stage => stage.map(|name| name.as_str()),
                    elapsed_seconds => projection.elapsed_seconds().map(f64::floor),
                }
            }
            Region::Failures => {
                let tally = projection.tally();
                let rows: Vec<_> = tally.first_failed().iter().map(|row| Value::from(Serde(row))).collect();
                context! { total => tally.failed(), rows, url => at.failed_rows(id), final => state.is_final() }
            }
            Region::LogMore => {
                let (attempt, url) = (projection.attempt(), at.log(id));
                let earlier_logs = earlier_logs(attempt, &url);
                let repeats = projection.repeats();
                context! { total => log.total, hidden => log.hidden, url, attempt, repeats, earlier_logs }
            }
            Region::LogLines => {
                let lines: Vec<_> = log.lines.iter().map(|line| line_context(line)).collect();
                context! { lines }
            }
            Region::Result => {
                let ending = projection.ending();
                let result = ending.and_then(|ending| ending.result.as_ref());
                let result = result.map(|result| Value::from(Serde(result)));
                context! {
                    error => ending.and_then(|ending| ending.message.as_ref()).map(|message| message.as_str()),
                    op => context! { id => id.to_string(), kind => &*subject.kind, state => state.as_str(), result => &result },
                    result => result,
                    has_template => self.has(&templates::result_of(&subject.kind)),
                    redirect => ending.and_then(|ending| ending.redirect.as_ref()),
                    next_url => ending.and_then(|ending| ending.next).map(|next| at.page(next)),
                    reference => id.to_string(),
                    new_url => self.has_form(&subject.kind).then(|| at.new_like(&subject.kind, id)),
                    new_file => self.asks_for_file(&subject.kind),
                    can_restart => self.runs(&subject.kind),
                    repeats => projection.repeats(),
                }
            }
            Region::Extra => {
                let set = self.templates.get();
                let own = projection.own().iter();
                let others = own.filter(|region| !set.has_place(&subject.kind, region.id().as_str()));
                let html: String = others.map(|region| self.own_region(subject, region)).collect();
                context! { own => Value::from_safe_string(html) }
            }
            Region::Controls => context! {
                csrf => csrf,
                new_file => self.asks_for_file(&subject.kind),
                cancel_url => (!state.is_final()).then(|| at.cancel(id)),
                restart_url => (state.is_final() && self.runs(&subject.kind)).then(|| at.restart(id)),
            },
        };
        context! { ..own, ..base }
    }

    pub(super) fn log_line(&self, element: &str, line: &Line) -> String {
        let context = context! { id => element, line => line_context(line) };
        self.page("regions/log_line.html", context).unwrap_or_else(|error| {
            tracing::error!(%error, "a log line failed to render");
            format!("<div id=\"{element}-log-{}\">This line could not be shown.</div>", line.seq)
        })
    }
}

fn line_context(line: &Line) -> Value {
    context! {
        seq => line.seq,
        time => line.at.strftime("%H:%M:%S").to_string(),
        at => line.at.strftime(SECONDS).to_string(),
        level => line.level.as_str(),
        text => shown(line.text.as_str()),
    }
}

/// As much of a log line as a page shows. A tail of the longest lines would be larger than any page
/// that a browser, or the server, should have to hold.
fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_SHOWN {
        return text.into();
    }
    let (shown, rest) = text.split_at(text.floor_char_boundary(LINE_SHOWN));
    format!("{shown}… ({} more bytes in the whole log)", rest.len()).into()
}

/// A rate with as many digits as mean something.
fn readable(rate: f64) -> f64 {
    if rate >= 10.0 { rate.round() } else { (rate * 10.0).round() / 10.0 }
}
