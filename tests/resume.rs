//! The property that carries the core: for any sequence of updates and any cut at any byte of the
//! stream, a client that comes back with its last cursor and applies what it gets has exactly the
//! page that a fresh reader gets.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use liveops::operation::{Ending, OperationId, State};
use liveops::progress::{Content, ElementId, Html, Level, StageSpec, Text, Update};
use liveops::projection::{Projection, Region};
use liveops::render::{Addresses, Reading, Renderer};
use liveops::stream::{Cursor, Frame, FrameRenderer as _, Subject};
use liveops::testing::{EventReader, Page};
use proptest::prelude::*;
use serde_json::json;

const TAIL: usize = 5;

/// What a browser has.
#[derive(Debug, Clone)]
struct Client {
    reader: EventReader,
    last_event_id: String,
    page: Page,
}

impl Client {
    fn new() -> Self {
        let (reader, last_event_id) = (EventReader::default(), String::new());
        Self { reader, last_event_id, page: Page::blank(TAIL) }
    }

    /// Takes bytes as they come; an event counts when its empty line is there.
    fn receive(&mut self, bytes: &[u8]) {
        self.reader.receive(bytes);
        while let Some(event) = self.reader.next_event() {
            self.page.apply(&event);
            let lines = self.page.line_numbers();
            assert!(lines.windows(2).all(|pair| pair[0] + 1 == pair[1]), "lines are missing: {lines:?}");
            if let Some(id) = event.id {
                self.last_event_id = id;
            }
        }
    }

    /// The connection broke: half an event is lost.
    fn cut(&mut self) {
        self.reader.cut();
    }
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
    /// The next readers come to a process that knows whether it was asked to stop, and maybe before the run does.
    Asked(bool),
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
        1 => name.clone().prop_map(Update::EnterStage),
        1 => name.prop_map(Update::LeaveStage),
        1 => (0u64..3).prop_map(Update::Before),
        6 => text().prop_map(|text| Update::Log { level: Level::Warning, text }),
        2 => (0u64..3, 0u64..3).prop_map(|(ok, skipped)| Update::Tally { ok, skipped }),
        2 => (text(), text()).prop_map(|(row, reason)| Update::Failed { row, reason }),
        3 => (own_id(), content()).prop_map(|(id, content)| Update::Replace { id, content }),
        3 => (own_id(), content()).prop_map(|(id, content)| Update::Append { id, content }),
        1 => Just(Update::State(State::Cancelling)),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    let next = Just("7f3c2a91-0000-4000-8000-000000000000".parse().expect("a UUID"));
    let success =
        (prop::option::of(text()), prop::option::of(next), prop::option::of(Just("/there".to_owned())));
    prop_oneof![
        text().prop_map(|message| Ending::failed(message.as_str())),
        Just(Ending::plain(State::Cancelled)),
        Just(Ending::plain(State::Interrupted)),
        success.prop_map(|(result, next, redirect)| Ending {
            result: result.map(|text| json!({ "<key>": text.as_str() })),
            next,
            redirect,
            ..Ending::plain(State::Succeeded)
        }),
    ]
}

fn own_id() -> impl Strategy<Value = ElementId> {
    prop_oneof![Just("map"), Just("chart")].prop_map(|name| ElementId::new(name).expect("a name"))
}

fn content() -> impl Strategy<Value = Arc<Content>> {
    let template = |text: &str| Content::template("chart", json!({ "text": text })).expect("a name");
    prop_oneof![
        "[a-z]{0,3}".prop_map(|text| Arc::new(Content::from(Html::trusted(format!("<b>{text}</b>"))))),
        "[a-z<]{0,3}".prop_map(move |text| Arc::new(template(&text))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => update().prop_map(Step::Say),
        3 => Just(Step::Flush),
        3 => any::<u16>().prop_map(Step::Read),
        2 => Just(Step::ReadAll),
        1 => any::<bool>().prop_map(|attempt| Step::NewLife { attempt }),
        1 => any::<bool>().prop_map(Step::Asked),
    ]
}

struct World {
    subject: Subject,
    renderer: Renderer,
    projection: Projection,
    now: Timestamp,
    lives: u64,
    asked: bool,
    was_asked: bool,
}

/// Its kind has a place for one of the regions of its own, and a template for their content.
static RENDERER: LazyLock<Renderer> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let place = "{% extends 'live.html' %}{% block own %}{{ live_region(op, 'map') }}{% endblock %}";
    for (name, source) in [("k_live.html", place), ("k_chart.html", "<i>{{ text }}</i>")] {
        std::fs::write(folder.path().join(name), source).expect("a template");
    }
    Renderer::new(Addresses::default()).with_templates(folder.path(), Reading::Once).expect("templates")
});

impl World {
    fn new() -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self {
            subject: Subject { id: OperationId::new(), kind: "k".into(), owner: "o".into() },
            renderer: RENDERER.clone(),
            projection: Projection::new(1, 1, State::Running, TAIL, now),
            now,
            lives: 1,
            asked: false,
            was_asked: false,
        }
    }

    /// As the process shows it to which readers come.
    fn page(&self) -> Projection {
        let page = self.projection.clone();
        if self.asked { page.asked_to_stop() } else { page }
    }

    fn frame(&self, cursor: &str) -> Option<Frame> {
        let page = self.page();
        let delta = page.since(Cursor::parse(cursor))?;
        Some(self.renderer.frame(&self.subject, &page.as_seen_by(&delta), &delta))
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
            Step::Asked(asked) => {
                self.asked = asked;
                self.was_asked |= asked;
            }
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
        let mut client = Client::new();
        self.read_all(&mut client);
        client.page
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_reader_that_comes_back_has_the_page_of_a_fresh_one(
        steps in prop::collection::vec(step(), 0..60),
        ends in prop::option::of(ending()),
    ) {
        let (mut world, mut client) = (World::new(), Client::new());
        for step in steps {
            world.take(step, &mut client);
        }
        let is_over = ends.is_some();
        if let Some(ending) = ends {
            world.projection.apply(Update::Ended(ending), world.now);
        }
        world.projection.flush();
        // By now everybody knows of it.
        world.asked = world.was_asked;
        world.read_all(&mut client);
        let fresh = world.fresh();
        prop_assert_eq!(client.page.document(), fresh.document());
        prop_assert_eq!((client.page.state(), client.page.ended()), (fresh.state(), fresh.ended()));
        prop_assert_eq!(client.page.ended().is_some(), is_over);
        // It is up to date: nothing more to say, and a reconnect gets nothing.
        prop_assert!(world.frame(&client.last_event_id).is_none());
        // The page is that of the projection, not merely the same for both.
        let newest: Vec<u64> = world.projection.log().lines().map(|line| line.seq).collect();
        prop_assert_eq!(client.page.line_numbers(), newest);
        prop_assert_eq!(client.page.state(), Some(world.page().state()));
        // Beside them the place for a region of its own.
        prop_assert_eq!(client.page.document().children().count(), Region::ALL.len() + 1);
    }

    #[test]
    fn a_reader_whose_connection_holds_gets_no_line_twice(steps in prop::collection::vec(step(), 0..60)) {
        let (mut world, mut client) = (World::new(), Client::new());
        for step in steps {
            match step {
                Step::Read(_) => world.take(Step::ReadAll, &mut client),
                other => world.take(other, &mut client),
            }
        }
        prop_assert_eq!(client.page.repeated_lines(), 0);
    }
}

proptest! {
    // A page after each step takes its time.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_number_of_lines_is_that_of_the_lines_which_are_there(steps in prop::collection::vec(step(), 0..60)) {
        let (mut world, mut client) = (World::new(), Client::new());
        for step in steps {
            world.take(step, &mut client);
            let page = world.fresh();
            let more = page.text("log-more");
            let said: u64 = more.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
            // All that is published may be past already, when more than the tail waits to be shown.
            if let Some(newest) = page.line_numbers().last() {
                prop_assert_eq!(said, *newest, "{}", more);
            }
        }
    }
}
