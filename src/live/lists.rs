//! The lists that are watched here are kept up to date: one look at the store for all of them, and
//! none while nobody watches or nothing changed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{Inner, LiveOps, PER_PAGE};
use crate::access::Viewer;
use crate::operation::{OperationId, Record, State};
use crate::projection::{Projection, Row};
use crate::store::{Filter, Glance, StoreError, StoreResult};
use crate::stream::{List, ListHub, ListWatch, Look, Mark, ReadRow, RowRenderer, UserList};

/// Bars move this often, and what another process did is noticed at most this much later.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Between two looks at everything passes at least this, and at least [`SHARE`] times what the
/// former one took.
const REST: Duration = Duration::from_millis(50);
const SHARE: u32 = 4;

/// The lists that are watched, and what is to be looked at for them.
#[derive(Debug)]
pub(super) struct Lists {
    hub: ListHub,
    /// Guards what is asked for; held for as long as a note takes.
    asked: Mutex<Asked>,
    wake: Notify,
    /// The newest request that was served.
    served: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Owners whose lists somebody opens.
    owners: HashSet<String>,
    /// Operations that something happened to.
    touched: HashSet<OperationId>,
    /// The number of the newest request.
    ticket: u64,
    /// Something changed, nobody says what.
    changed: bool,
}

/// A page of a user's operations as the list shows them.
#[derive(Debug, Clone)]
pub struct RowPage {
    /// Newest first.
    pub rows: Vec<Row>,
    /// Whether there are older ones.
    pub more: bool,
}

impl Lists {
    pub(super) fn new(renderer: Arc<dyn RowRenderer>) -> Self {
        Self {
            hub: ListHub::new(renderer, PER_PAGE as usize),
            asked: Mutex::default(),
            wake: Notify::new(),
            served: watch::Sender::new(0),
        }
    }

    /// The state of some operation changed.
    pub(super) fn changed(&self) {
        self.asked.lock().changed = true;
        self.wake.notify_one();
    }

    /// Something happened to this operation, wherever in its owner's list it stands.
    pub(super) fn touch(&self, owner: &str, id: OperationId) {
        if self.hub.is_watched(owner) {
            self.asked.lock().touched.insert(id);
            self.wake.notify_one();
        }
    }

    fn is_asked(&self) -> bool {
        let asked = self.asked.lock();
        asked.changed || !asked.touched.is_empty()
    }

    /// A reader of the owner's list as it is now or later.
    pub(super) async fn open(&self, owner: &str) -> StoreResult<ListWatch> {
        let watch = self.hub.watch(owner);
        let mut served = self.served.subscribe();
        let ticket = {
            let mut asked = self.asked.lock();
            asked.owners.insert(owner.to_owned());
            asked.ticket += 1;
            asked.ticket
        };
        self.wake.notify_one();
        let answer = served.wait_for(|served| *served >= ticket).await;
        if answer.is_err() || !watch.is_known() {
            // The log has the store's own words.
            return Err(StoreError::Failed("the list could not be read".into()));
        }
        Ok(watch)
    }
}

/// Keeps the lists up to date until the [`LiveOps`] is gone.
pub(super) async fn keep(inner: Weak<Inner>, lists: Arc<Lists>) {
    let mut follower = Follower { lists, version: None };
    let (mut looked, mut rest) = (Instant::now(), REST);
    loop {
        // Who opens a list does not wait for the rest; looks at everything do.
        let pause = if follower.lists.is_asked() { rest } else { rest.max(LOOK_AGAIN) };
        let tick = tokio::time::sleep(pause.saturating_sub(looked.elapsed()));
        let mut tick = std::pin::pin!(tick);
        let everything = loop {
            tokio::select! {
                () = &mut tick => break true,
                () = follower.lists.wake.notified() => {
                    let asked = follower.lists.asked.lock();
                    if !asked.owners.is_empty() {
                        break false;
                    }
                    drop(asked);
                    if looked.elapsed() >= rest {
                        break true;
                    }
                    tick.as_mut().reset((looked + rest).into());
                }
            }
        };
        let Some(inner) = inner.upgrade() else { return };
        let begin = Instant::now();
        follower.look(&LiveOps(inner), everything).await;
        if everything {
            looked = Instant::now();
            rest = REST.max(begin.elapsed() * SHARE);
        }
    }
}

struct Follower {
    lists: Arc<Lists>,
    /// The store's version at the last look at everything.
    version: Option<i64>,
}

impl Follower {
    /// Looks at all lists, or at those that somebody opens.
    async fn look(&mut self, live: &LiveOps, everything: bool) {
        let asked = {
            let mut asked = self.lists.asked.lock();
            let mut taken = Asked { ticket: asked.ticket, ..Asked::default() };
            std::mem::swap(&mut taken.owners, &mut asked.owners);
            if everything {
                std::mem::swap(&mut taken.touched, &mut asked.touched);
                taken.changed = std::mem::take(&mut asked.changed);
            }
            taken
        };
        let watched = self.lists.hub.watched();
        if !watched.is_empty() {
            let result = self.look_at(live, &watched, &asked, everything).await;
            if let Err(error) = result {
                tracing::warn!(%error, "the lists could not be brought up to date");
                self.version = None;
                self.lists.asked.lock().touched.extend(asked.touched);
            }
        }
        self.lists.served.send_replace(asked.ticket);
    }

    async fn look_at(
        &mut self,
        live: &LiveOps,
        watched: &[Arc<UserList>],
        asked: &Asked,
        everything: bool,
    ) -> StoreResult<()> {
        let mut lists: Vec<_> = watched.to_vec();
        if everything {
            let version = live.0.store.version().await?;
            let is_news = asked.changed || !asked.touched.is_empty() || self.version != Some(version);
            if !is_news {
                for list in &lists {
                    live.follow_runs(list);
                }
                // One that somebody opened at this moment.
                lists.retain(|list| asked.owners.contains(list.owner()));
            }
            self.version = Some(version);
        } else {
            lists.retain(|list| asked.owners.contains(list.owner()));
        }
        if lists.is_empty() {
            return Ok(());
        }
        live.look_at_lists(&lists, &asked.touched).await
    }
}

impl LiveOps {
    /// A page of the viewer's operations as the list shows them: those of [`LiveOps::list`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rows(&self, viewer: &Viewer, filter: &Filter, page: u32) -> StoreResult<RowPage> {
        let found = self.list(viewer, filter, page).await?;
        let active: Vec<_> =
            found.records.iter().filter(|record| !record.state.is_final()).map(|record| record.id).collect();
        let mut before = HashMap::new();
        let mut pages = HashMap::new();
        if !active.is_empty() {
            let glances = self.0.store.glance(&[], &[], 0, &active).await?;
            before.extend(glances.others.into_iter().map(|glance| (glance.id, glance.before)));
            let elsewhere: Vec<_> =
                active.into_iter().filter(|id| self.running_page(*id).is_none()).collect();
            let stored = self.0.store.records(&elsewhere).await?;
            pages.extend(stored.into_iter().map(|(record, page)| (record.id, page)));
        }
        let rows = found.records.iter().map(|record| {
            let stored = pages.remove(&record.id).flatten();
            self.row(record, stored, before.get(&record.id).copied().flatten())
        });
        Ok(RowPage { rows: rows.collect(), more: found.more })
    }

    /// The viewer's newest operation of each kind that they have operations of and that is in lists, by the kind's name.
    pub(crate) async fn latest(&self, viewer: &Viewer) -> StoreResult<HashMap<String, Record>> {
        let unlisted = self.unlisted();
        let mut latest = HashMap::new();
        for kind in self.0.store.kinds(&viewer.id).await? {
            if unlisted.contains(&kind) {
                continue;
            }
            let filter = Filter { kind: Some(kind.clone()), ..Filter::default() };
            let newest = self.0.store.list(&viewer.id, &filter, 1, 1).await?;
            latest.extend(newest.records.into_iter().map(|record| (kind.clone(), record)));
        }
        Ok(latest)
    }

    /// The names of the kinds that are in no list.
    pub(super) fn unlisted(&self) -> Vec<String> {
        self.kinds().filter(|kind| !kind.listed).map(|kind| kind.name.clone()).collect()
    }

    /// The kinds that may be in the viewer's list, each with its title and its name, in the order of their titles: those that
    /// they may start, and those that they have operations of.
    pub(crate) async fn listed_kinds(&self, viewer: &Viewer) -> StoreResult<BTreeSet<(String, String)>> {
        let mut names = self.0.store.kinds(&viewer.id).await?;
        names.extend(self.kinds_for(viewer).map(|kind| kind.name.clone()));
        let unlisted = self.unlisted();
        names.retain(|name| !unlisted.contains(name));
        Ok(names.into_iter().map(|name| (self.title_of(&name).to_owned(), name)).collect())
    }

    /// The title of a kind; its name, where this process does not have it.
    fn title_of<'a>(&'a self, kind: &'a str) -> &'a str {
        self.kind(kind).map_or(kind, |kind| kind.title.as_str())
    }

    /// The row of a record, with the page of its run: this process's own, else the stored one.
    fn row(&self, record: &Record, stored: Option<Projection>, before: Option<u64>) -> Row {
        let page = self.running_page(record.id).or(stored).filter(|page| page.attempt() == record.attempt);
        Row::new(record, page.as_ref(), self.title_of(&record.kind), before)
    }

    /// Moves the bars of what runs in this process.
    fn follow_runs(&self, list: &UserList) {
        let rows = list.with(List::active).into_iter().filter_map(|id| {
            let page = self.running_page(id)?;
            let mut read =
                list.with(|list| list.read(id)).filter(|read| read.mark.attempt == page.attempt())?;
            read.row.follow(&page);
            Some(read)
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            let newest = list.with(|list| list.newest().to_vec());
            list.update(Look { newest, rows, removed: Vec::new() });
        }
    }

    /// Brings lists up to date with the store, `touched` operations of theirs included.
    async fn look_at_lists(
        &self,
        lists: &[Arc<UserList>],
        touched: &HashSet<OperationId>,
    ) -> StoreResult<()> {
        let owners: Vec<_> = lists.iter().map(|list| list.owner().to_owned()).collect();
        let active: Vec<_> = lists.iter().map(|list| list.with(List::active)).collect();
        let ids: HashSet<_> = active.iter().flatten().chain(touched).copied().collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let glances = self.0.store.glance(&owners, &self.unlisted(), PER_PAGE, &ids).await?;

        let mut others: HashMap<String, Vec<Glance>> = HashMap::new();
        for glance in glances.others {
            others.entry(glance.owner.clone()).or_default().push(glance);
        }
        let mut looks = Vec::with_capacity(lists.len());
        let mut stale = Vec::new();
        for ((list, newest), active) in lists.iter().zip(glances.newest).zip(&active) {
            let mut seen: HashMap<_, _> = newest.iter().map(|glance| (glance.id, glance.clone())).collect();
            for glance in others.remove(list.owner()).unwrap_or_default() {
                seen.insert(glance.id, glance);
            }
            let known = list.with(|list| list.newest().to_vec());
            // What fell off the newest page is over or below; what is not there at all was removed.
            let missing: Vec<_> =
                active.iter().chain(&known).filter(|id| !seen.contains_key(*id)).copied().collect();
            let mut look =
                Look { newest: newest.iter().map(|glance| glance.id).collect(), ..Look::default() };
            for glance in seen.into_values() {
                match self.reread(list, &glance) {
                    Reread::Same => {}
                    Reread::Row(read) => look.rows.push(*read),
                    Reread::Store => stale.push(glance),
                }
            }
            looks.push((list, look, missing));
        }

        let wanted: Vec<_> = stale.iter().map(|glance| glance.id).collect();
        let gone: Vec<_> = looks.iter().flat_map(|(.., missing)| missing).copied().collect();
        let mut records: HashMap<_, _> = HashMap::new();
        if !wanted.is_empty() {
            let found = self.0.store.records(&wanted).await?;
            records.extend(found.into_iter().map(|(record, page)| (record.id, (record, page))));
        }
        let mut there = HashSet::new();
        if !gone.is_empty() {
            let glances = self.0.store.glance(&[], &[], 0, &gone).await?;
            there.extend(glances.others.into_iter().map(|glance| glance.id));
        }
        let mut fresh: HashMap<String, Vec<ReadRow>> = HashMap::new();
        for glance in stale {
            if let Some((record, page)) = records.remove(&glance.id) {
                let row = self.row(&record, page, glance.before);
                let before = glance.before.filter(|_| record.state == State::Waiting);
                let mark = Mark { state: record.state, attempt: record.attempt, before };
                let read = ReadRow { row, place: glance.row, mark };
                fresh.entry(glance.owner).or_default().push(read);
            }
        }
        for (list, mut look, missing) in looks {
            look.rows.extend(fresh.remove(list.owner()).unwrap_or_default());
            look.removed = missing.into_iter().filter(|id| !there.contains(id)).collect();
            list.update(look);
        }
        Ok(())
    }

    /// Whether a row has to be read anew, by what a look told of its operation.
    fn reread(&self, list: &UserList, glance: &Glance) -> Reread {
        let mark = Mark { state: glance.state, attempt: glance.attempt, before: glance.before };
        let same = list.with(|list| list.mark(glance.id)) == Some(mark);
        if same && !matches!(mark.state, State::Running | State::Cancelling) {
            return Reread::Same;
        }
        let Some(mut read) = list.with(|list| list.read(glance.id)) else { return Reread::Store };
        match glance.state {
            State::Running | State::Cancelling => {
                let page = self.running_page(glance.id).filter(|page| page.attempt() == glance.attempt);
                let Some(page) = page.filter(|_| read.mark.attempt == glance.attempt) else {
                    return Reread::Store;
                };
                read.row.follow(&page);
                Reread::Row(Box::new(ReadRow { mark, ..read }))
            }
            State::Waiting if read.mark.state == State::Waiting && read.mark.attempt == glance.attempt => {
                read.row.before = glance.before;
                Reread::Row(Box::new(ReadRow { mark, ..read }))
            }
            _ => Reread::Store,
        }
    }
}

/// Where a row comes from.
enum Reread {
    /// It is as it was.
    Same,
    /// It follows from what is known here.
    Row(Box<ReadRow>),
    /// It has to be read from the store.
    Store,
}
