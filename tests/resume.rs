//! The property that carries the core: for any sequence of updates and any cut at any byte of the
//! stream, a client that comes back with its last cursor and applies what it gets has exactly the
//! page that a fresh reader gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use liveops::operation::{Ending, OperationId, State};
use liveops::progress::{Content, ElementId, Html, Level, StageSpec, Text, Update};
use liveops::projection::Projection;
use liveops::render::{Addresses, Renderer};
use liveops::stream::{Cursor, Frame, FrameRenderer as _, Subject};
use proptest::prelude::*;
use serde_json::Value;

const TAIL: usize = 5;

/// What a browser has: regions by id, the log's lines in their order, and the last id it was sent.
#[derive(Debug, Default, Clone)]
struct Client {
    received: Vec<u8>,
    last_event_id: String,
    page: Page,
    over: bool,
    /// Lines that came by `append` although they were there already.
    doubled: usize,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Page {
    state: String,
    regions: BTreeMap<String, String>,
    lines: Vec<(u64, String)>,
    /// The regions of its own, each with its pieces by their ids.
    own: Vec<(String, Vec<(String, String)>)>,
}

impl Client {
    /// Takes bytes as they come; an event counts when its empty line is there.
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.received.drain(..end + 2).collect();
            self.event(std::str::from_utf8(&block).expect("events are UTF-8"));
        }
    }

    /// The connection broke: half an event is lost.
    fn cut(&mut self) {
        self.received.clear();
    }

    fn event(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
        let data: Value = serde_json::from_str(field("data: ")).expect("data is JSON on one line");
        let text = |key: &str| data[key].as_str().expect("a text").to_owned();
        match field("event: ") {
            "state" => self.page.state = text("state"),
            "fragment" => self.apply(&text("id"), &text("swap"), &text("html")),
            "end" => self.over = true,
            other => panic!("an event that should not be here: {other}"),
        }
        let id = field("id: ");
        if !id.is_empty() {
            id.clone_into(&mut self.last_event_id);
        }
    }

    /// What comes into the extra region; an id that is there already is replaced in its place.
    fn take_own(&mut self, html: &str) {
        for (id, pieces) in own_of(html) {
            match self.page.own.iter_mut().find(|(own, _)| *own == id) {
                Some(own) => own.1 = pieces,
                None => self.page.own.push((id, pieces)),
            }
        }
    }

    fn apply(&mut self, id: &str, swap: &str, html: &str) {
        if id.ends_with("-extra") && swap == "append" {
            self.take_own(html);
            return;
        }
        if id.ends_with("-extra") {
            self.page.own.clear();
            self.take_own(html);
            return;
        }
        if let Some((_, pieces)) = self.page.own.iter_mut().find(|(own, _)| own == id) {
            assert_eq!(swap, "append", "there is no place for it but the extra region");
            for (id, html) in own_of(html).into_iter().flat_map(|(_, pieces)| pieces) {
                match pieces.iter_mut().find(|piece| piece.0 == id) {
                    Some(piece) => piece.1 = html,
                    None => pieces.push((id, html)),
                }
            }
            return;
        }
        if !id.ends_with("-log-lines") {
            assert_eq!(swap, "outer");
            assert!(html.starts_with(&format!("<div id=\"{id}\"")), "{html}");
            self.page.regions.insert(id.to_owned(), html.to_owned());
            return;
        }
        let lines = lines_of(id.trim_end_matches("-lines"), html);
        match swap {
            "outer" => self.page.lines = lines,
            "append" => {
                for (seq, html) in lines {
                    match self.page.lines.iter_mut().find(|line| line.0 == seq) {
                        Some(line) => {
                            line.1 = html;
                            self.doubled += 1;
                        }
                        None => {
                            // A reader that is further behind than the tail gets it anew instead.
                            let newest = self.page.lines.last().map_or(seq - 1, |line| line.0);
                            assert_eq!(newest + 1, seq, "lines are missing before this one");
                            self.page.lines.push((seq, html));
                        }
                    }
                }
            }
            other => panic!("the log's lines do not come by {other}"),
        }
        let over = self.page.lines.len().saturating_sub(TAIL);
        self.page.lines.drain(..over);
    }
}

/// The regions of its own in some HTML; pieces without a region come below a nameless one.
fn own_of(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut own: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for part in html.split("<div id=\"").skip(1) {
        let (id, rest) = part.split_once('"').expect("an id");
        if rest.contains("liveop-own") {
            own.push((id.to_owned(), Vec::new()));
        } else if !id.ends_with("-extra") {
            let piece = (id.to_owned(), rest.trim_end().trim_end_matches("</div>").to_owned());
            match own.last_mut() {
                Some((_, pieces)) => pieces.push(piece),
                None => own.push((String::new(), vec![piece])),
            }
        }
    }
    own
}

fn lines_of(prefix: &str, html: &str) -> Vec<(u64, String)> {
    let opening = format!("<div id=\"{prefix}-");
    html.split(&opening)
        .skip(1)
        .filter_map(|line| {
            let seq = line.split('"').next()?.parse().ok()?;
            Some((seq, line.trim_end_matches("</div>").trim().to_owned()))
        })
        .collect()
}

/// What happens to an operation or to its reader.
#[derive(Debug, Clone)]
enum Step {
    Say(Update),
    Flush,
    /// The reader gets what it lacks, and so much of it arrives before the connection breaks.
    Read(u16),
    /// The reader gets all that it lacks.
    ReadAll,
    /// The next attempt, or the same one after a crash.
    NewLife {
        attempt: bool,
    },
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        "[a-z<>&\"'{}% \\n]{0,12}".prop_map(|text| Text::new(&text)),
        Just(Text::new("<script>alert(1)</script>\n\nevent: end\ndata: {}\n\n")),
    ]
}

fn update() -> impl Strategy<Value = Update> {
    let name = prop_oneof![Just("Read"), Just("Check"), Just("Other")].prop_map(Text::new);
    prop_oneof![
        3 => text().prop_map(|text| Update::Status { level: Level::Info, text }),
        2 => (0.0..100.0f64).prop_map(Update::Percent),
        1 => prop::option::of(0u64..50).prop_map(|total| Update::Count { label: None, unit: None, total }),
        2 => (0u64..50).prop_map(Update::Done),
        1 => Just(Update::Stages(vec![StageSpec::new("Read", 1.0), StageSpec::new("Check", 2.0)])),
        1 => name.prop_map(Update::EnterStage),
        1 => Just(Update::LeaveStage),
        6 => text().prop_map(|text| Update::Log { level: Level::Warning, text }),
        2 => (0u64..3, 0u64..3).prop_map(|(ok, skipped)| Update::Tally { ok, skipped }),
        2 => (text(), text()).prop_map(|(row, reason)| Update::Failed { row, reason }),
        3 => (own_id(), content()).prop_map(|(id, content)| Update::Replace { id, content }),
        3 => (own_id(), content()).prop_map(|(id, content)| Update::Append { id, content }),
        1 => Just(Update::State(State::Cancelling)),
    ]
}

fn own_id() -> impl Strategy<Value = ElementId> {
    prop_oneof![Just("map"), Just("chart")].prop_map(|name| ElementId::new(name).expect("a name"))
}

fn content() -> impl Strategy<Value = Arc<Content>> {
    "[a-z]{0,3}".prop_map(|text| Arc::new(Content::from(Html::trusted(format!("<b>{text}</b>")))))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => update().prop_map(Step::Say),
        3 => Just(Step::Flush),
        3 => any::<u16>().prop_map(Step::Read),
        2 => Just(Step::ReadAll),
        1 => any::<bool>().prop_map(|attempt| Step::NewLife { attempt }),
    ]
}

struct World {
    subject: Subject,
    renderer: Renderer,
    projection: Projection,
    now: Timestamp,
    lives: u64,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self {
            subject: Subject { id: OperationId::new(), kind: "k".into(), owner: "o".into() },
            renderer: Renderer::new(Addresses::default()),
            projection: Projection::new(1, 1, State::Running, TAIL, now),
            now,
            lives: 1,
        }
    }

    fn frame(&self, cursor: &str) -> Option<Frame> {
        let delta = self.projection.since(Cursor::parse(cursor))?;
        Some(self.renderer.frame(&self.subject, &self.projection, &delta))
    }

    fn read_all(&self, client: &mut Client) {
        client.cut();
        if let Some(frame) = self.frame(&client.last_event_id) {
            client.receive(&frame.bytes);
        }
    }

    fn take(&mut self, step: Step, client: &mut Client) {
        self.now += std::time::Duration::from_millis(700);
        match step {
            Step::Say(update) => {
                self.projection.apply(update, self.now);
            }
            Step::Flush => {
                self.projection.flush();
            }
            Step::Read(cut) => {
                client.cut();
                if let Some(frame) = self.frame(&client.last_event_id) {
                    let cut = usize::from(cut) % (frame.bytes.len() + 1);
                    client.receive(&frame.bytes[..cut]);
                }
            }
            Step::ReadAll => self.read_all(client),
            Step::NewLife { attempt } => {
                self.lives += 1;
                self.projection = if attempt {
                    let number = self.projection.attempt() + 1;
                    Projection::new(self.lives, number, State::Running, TAIL, self.now)
                } else {
                    self.projection.clone().reborn(self.lives)
                };
            }
        }
    }

    /// The page of somebody who opens it now.
    fn fresh(&self) -> Page {
        let mut client = Client::default();
        self.read_all(&mut client);
        client.page
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_reader_that_comes_back_has_the_page_of_a_fresh_one(
        steps in prop::collection::vec(step(), 0..60),
        ends in any::<bool>(),
    ) {
        let (mut world, mut client) = (World::new(), Client::default());
        for step in steps {
            world.take(step, &mut client);
        }
        if ends {
            world.projection.apply(Update::Ended(Ending::failed("<no>")), world.now);
        }
        world.projection.flush();
        world.read_all(&mut client);
        prop_assert_eq!(&client.page, &world.fresh());
        prop_assert_eq!(client.over, ends);
        // It is up to date: nothing more to say, and a reconnect gets nothing.
        prop_assert!(world.frame(&client.last_event_id).is_none());
        // The page is that of the projection, not merely the same for both.
        let newest: Vec<u64> = world.projection.log().lines().map(|line| line.seq).collect();
        prop_assert_eq!(client.page.lines.iter().map(|line| line.0).collect::<Vec<_>>(), newest);
        prop_assert_eq!(client.page.state, world.projection.state().as_str());
        prop_assert_eq!(client.page.regions.len(), 7);
    }

    #[test]
    fn the_number_of_lines_is_that_of_the_lines_which_are_there(steps in prop::collection::vec(step(), 0..60)) {
        let (mut world, mut client) = (World::new(), Client::default());
        for step in steps {
            world.take(step, &mut client);
            let page = world.fresh();
            let more = page.regions.iter().find(|(id, _)| id.ends_with("-log-more")).expect("a region").1;
            let said: u64 =
                more.split('>').nth(1).and_then(|text| text.split(' ').next()?.parse().ok()).expect("a number");
            // All that is published may be past already, when more than the tail waits to be shown.
            if let Some((newest, _)) = page.lines.last() {
                prop_assert_eq!(said, *newest, "{}", more);
            }
        }
    }

    #[test]
    fn a_reader_whose_connection_holds_gets_no_line_twice(steps in prop::collection::vec(step(), 0..60)) {
        let (mut world, mut client) = (World::new(), Client::default());
        for step in steps {
            match step {
                Step::Read(_) => world.take(Step::ReadAll, &mut client),
                other => world.take(other, &mut client),
            }
        }
        prop_assert_eq!(client.doubled, 0);
    }
}
