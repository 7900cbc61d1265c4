use super::*;
use crate::operation::State;
use crate::progress::{Level, Text};
use std::sync::atomic::AtomicUsize;

#[derive(Default)]
struct Counting(AtomicUsize);

impl FrameRenderer for Counting {
    fn frame(&self, _: &Subject, _: &Projection, delta: &Delta) -> Frame {
        self.0.fetch_add(1, Ordering::Relaxed);
        FrameBuilder::default().finish(delta.to)
    }
}

#[tokio::test]
async fn a_new_reader_is_shown_what_is_said_but_not_yet_flushed() {
    let hub = Hub::new(Arc::new(Counting::default()), 0.1);
    let subject = Subject { id: OperationId::new(), kind: "k".into(), owner: "o".into() };
    let live = hub.begin(subject, Projection::new(1, 1, State::Running, 3, Timestamp::UNIX_EPOCH));
    let log = |n: u32| {
        let line = Update::Log { level: Level::Info, text: Text::new(&n.to_string()) };
        live.update(line, Timestamp::UNIX_EPOCH, Instant::now());
    };
    (0..3).for_each(log);
    live.flush(Instant::now());
    // Right after a flush, yet the tail that was flushed is half gone.
    (3..5).for_each(log);
    assert_eq!(live.projection().log().published().lines.len(), 1);
    let mut watch = live.watch(Cursor::START);
    watch.next().await.expect("a frame");
    let page = live.projection();
    assert_eq!((page.log().published().total, page.log().published().lines.len()), (5, 3));
}

/// It once shifted the pace, and everybody saw everything most of an interval later.
#[tokio::test]
async fn a_new_reader_does_not_put_off_what_is_said_next() {
    let hub = Hub::new(Arc::new(Counting::default()), 10.0);
    let subject = Subject { id: OperationId::new(), kind: "k".into(), owner: "o".into() };
    let live = hub.begin(subject, Projection::new(1, 1, State::Running, 3, Timestamp::UNIX_EPOCH));
    // The reader comes at the real present moment, 10 s after what was said first.
    let Some(start) = Instant::now().checked_sub(Duration::from_secs(10)) else { return };
    let at = |ms| start + Duration::from_millis(ms);
    let say = |n: u32, clock| {
        let line = Update::Log { level: Level::Info, text: Text::new(&n.to_string()) };
        live.update(line, Timestamp::UNIX_EPOCH, clock)
    };
    assert_eq!(say(1, at(0)), Some(at(2)));
    live.flush(at(2));
    live.watch(Cursor::START).next().await.expect("a frame");
    assert_eq!(say(2, at(10_005)), Some(at(10_007)));
}

/// After a restart of the server every reader comes back with a cursor of a life that is over.
#[tokio::test]
async fn readers_from_elsewhere_share_one_frame() {
    let renderer = Arc::new(Counting::default());
    let hub = Hub::new(Arc::clone(&renderer) as _, 10.0);
    let subject = Subject { id: OperationId::new(), kind: "k".into(), owner: "o".into() };
    let live = hub.begin(subject, Projection::new(1, 1, State::Running, 200, Timestamp::UNIX_EPOCH));
    for version in 0..50 {
        let mut watch = live.watch(Cursor::new(9, 1, version));
        assert_eq!(watch.next().await.map(|frame| frame.cursor), Some(Cursor::new(1, 1, 1)));
    }
    assert_eq!(renderer.0.load(Ordering::Relaxed), 1);
}
