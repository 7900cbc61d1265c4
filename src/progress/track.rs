//! An iterator that moves the bar and checks for cancelling.

use super::{Cancelled, Progress, Text, Update};

/// A tracked iterator before its first item: [`Progress::track`].
#[must_use = "a tracked iterator does nothing until it is iterated"]
pub struct Track<I> {
    progress: Progress,
    items: I,
    total: Option<u64>,
    label: Option<Text>,
    unit: Option<Text>,
}

impl<I: Iterator> Track<I> {
    pub(super) fn new(progress: Progress, items: I) -> Self {
        let total = match items.size_hint() {
            (low, Some(high)) if low == high => u64::try_from(low).ok(),
            _ => None,
        };
        Self { progress, items, total, label: None, unit: None }
    }

    /// How many there will be, where the iterator cannot tell.
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
