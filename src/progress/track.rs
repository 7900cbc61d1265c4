//! Iterators and async streams that move the bar and check for cancelling.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;

use super::{Cancelled, Progress, Text, Update};

/// Tracked items before the first one: an iterator's ([`Progress::track`]) or an async stream's
/// ([`Progress::track_stream`]).
#[must_use = "tracked items do nothing until they are asked for"]
pub struct Track<T> {
    progress: Progress,
    items: T,
    total: Option<u64>,
    label: Option<Text>,
    unit: Option<Text>,
}

/// The total of an exact size hint.
fn exact((low, high): (usize, Option<usize>)) -> Option<u64> {
    (high == Some(low)).then(|| u64::try_from(low).ok()).flatten()
}

impl<I: Iterator> Track<I> {
    pub(super) fn new(progress: Progress, items: I) -> Self {
        let total = exact(items.size_hint());
        Self { progress, items, total, label: None, unit: None }
    }
}

impl<T> Track<T> {
    /// How many there will be, where the items cannot tell.
    pub fn total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// What one of them is called, in the plural: `rows`.
    pub fn unit(mut self, unit: impl AsRef<str>) -> Self {
        self.unit = Some(Text::new(unit.as_ref()));
        self
    }

    /// What is done with them.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(Text::new(label.as_ref()));
        self
    }
}

impl<I: Iterator> IntoIterator for Track<I> {
    type Item = Result<I::Item, Cancelled>;
    type IntoIter = TrackItems<I>;

    fn into_iter(self) -> Self::IntoIter {
        let Self { progress, items, total, label, unit } = self;
        progress.say(Update::Count { label, unit, total });
        TrackItems { progress, items, taken: 0, over: false }
    }
}

/// A tracked iterator under way. An item counts as done when the next one is asked for.
pub struct TrackItems<I> {
    progress: Progress,
    items: I,
    taken: u64,
    over: bool,
}

impl<I: Iterator> Iterator for TrackItems<I> {
    type Item = Result<I::Item, Cancelled>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if self.taken > 0 {
            self.progress.say(Update::Done(self.taken));
        }
        if let Err(cancelled) = self.progress.check_cancelled() {
            self.over = true;
            return Some(Err(cancelled));
        }
        match self.items.next() {
            Some(item) => {
                self.taken += 1;
                Some(Ok(item))
            }
            None => {
                self.over = true;
                None
            }
        }
    }
}

/// A tracked async stream: [`Progress::track_stream`].
pub type TrackStream<S> = Track<Polled<S>>;

/// An async stream under way. An item counts as done when the next one is asked for.
pub struct Polled<S> {
    items: Pin<Box<S>>,
    taken: u64,
    /// Ready once the operation is asked to stop; none before the first item is asked for.
    stop: Option<Pin<Box<dyn Future<Output = Cancelled> + Send>>>,
    over: bool,
}

impl<S: Stream> TrackStream<S> {
    pub(super) fn of_stream(progress: Progress, items: S) -> Self {
        let total = exact(items.size_hint());
        let items = Polled { items: Box::pin(items), taken: 0, stop: None, over: false };
        Self { progress, items, total, label: None, unit: None }
    }
}

impl<S: Stream> Stream for TrackStream<S> {
    type Item = Result<S::Item, Cancelled>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { progress, items: polled, total, label, unit } = self.get_mut();
        if polled.over {
            return Poll::Ready(None);
        }
        let stop = polled.stop.get_or_insert_with(|| {
            progress.say(Update::Count { label: label.take(), unit: unit.take(), total: *total });
            let progress = progress.clone();
            Box::pin(async move { progress.cancelled().await })
        });
        if polled.taken > 0 {
            // Said again while the next one is waited for, it changes nothing.
            progress.say(Update::Done(polled.taken));
        }
        if let Poll::Ready(cancelled) = stop.as_mut().poll(cx) {
            polled.over = true;
            return Poll::Ready(Some(Err(cancelled)));
        }
        match polled.items.as_mut().poll_next(cx) {
            Poll::Ready(Some(item)) => {
                polled.taken += 1;
                Poll::Ready(Some(Ok(item)))
            }
            Poll::Ready(None) => {
                polled.over = true;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
