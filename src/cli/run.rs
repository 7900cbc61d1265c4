//! `liveops run KIND`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use liveops::live::Receiving;
use liveops::operation::{FieldKind, Kind, Submitted, read_form};
use liveops::store::{Accounts as _, Sqlite, Store as _, StoreError, User};
use liveops::{LiveOps, OperationId, State};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use super::follow::Follower;
use super::server::Signals;
use super::terminal::{LAST_WORDS, Terminal};
use super::{Failure, INTERRUPTED, visible, watch};
use crate::config::Settings;

/// What "at once" may take: most often the ending can still be recorded.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often it is looked whether the database can still be written, and how often in a row it could not when it is given up:
/// what it would have to say of the operation is lost by then.
const LOOK: Duration = Duration::from_secs(5);
const LOOKS: u32 = 5;

/// What is to be run, as it was typed.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) kind: String,
    pub(super) owner: Option<String>,
    /// `NAME=VALUE` each.
    pub(super) fields: Vec<String>,
}

/// Runs an operation in this process and shows it, to its end or that of its chain.
///
/// Whatever happens to the terminal and the store meanwhile, it is recorded how the operation ended: only a
/// second interrupt doesn't wait for that.
pub(super) async fn run(
    order: &Order,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let store = watch::open_and_update(&settings.database)?;
    let user = owner(&store, order.owner.as_deref()).await?;
    let viewer = watch::owner(user.id);
    let live = watch::foreground(settings, store.clone()).await?;
    let kind = live.kind(&order.kind).ok_or_else(|| no_kind(&live, &order.kind))?;
    let (values, files) = submitted(&live, kind, &order.fields, settings.max_upload_bytes).await?;
    let input = read_form(&kind.fields, &values)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))?;
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let mut lost = std::pin::pin!(lost(&store));
    let mut why_lost = None;
    let ended = {
        let course = async {
            let id = live.run(&viewer, &kind.name, input, files).await?;
            let follower = Follower { live: &live, viewer: &viewer, terminal };
            follow(follower, id, &stop).await
        };
        let mut course = std::pin::pin!(course);
        loop {
            tokio::select! {
                ended = &mut course => break Some(ended),
                why = &mut lost => {
                    why_lost = Some(why);
                    break None;
                }
                () = signals.stop() => {
                    if stop.is_cancelled() {
                        break None;
                    }
                    stop.cancel();
                    drop(terminal.note("Cancelling. Once more to stop at once, wherever it is."));
                }
            }
        }
    };
    let is_recorded = ended.is_some()
        && tokio::select! {
            () = live.all_ended() => true,
            () = signals.stop() => false,
            why = &mut lost => {
                why_lost = Some(why);
                false
            }
        };
    // What is still running is recorded as interrupted.
    let recorded = live.shutdown(Duration::ZERO);
    if is_recorded {
        recorded.await;
    } else {
        let _ = tokio::time::timeout(AT_ONCE, recorded).await;
        // Dropped, it would wait for a database that keeps it waiting.
        std::mem::forget(live);
    }
    terminal.finish().await;
    if let Some(why) = why_lost {
        let why = visible(&why.to_string()).into_owned();
        let _ = writeln!(
            std::io::stderr(),
            "liveops: how it ended could not be stored, so the next process marks it as interrupted: {why}"
        );
        return Ok(ExitCode::FAILURE);
    }
    if stop.is_cancelled() && matches!(ended, Some(Err(_))) {
        // It could not even begin, and nobody wants it to any more.
        return Ok(ExitCode::from(INTERRUPTED));
    }
    match ended.transpose()? {
        Some((State::Succeeded, Shown::Whole)) if is_recorded => Ok(ExitCode::SUCCESS),
        Some((state, _)) if is_recorded && !stop.is_cancelled() => Ok(watch::exit_code(state)),
        _ => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// How much of an operation was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Whole,
    /// Its end is not: nobody reads, and somebody wants to go.
    Part,
}

/// Follows an operation to its end, and stops it once that is asked for: also while the terminal takes
/// nothing more.
async fn follow(
    follower: Follower<'_>,
    id: OperationId,
    stop: &CancellationToken,
) -> Result<(State, Shown), Failure> {
    let stopping = async {
        stop.cancelled().await;
        follower.cancel(id).await
    };
    let mut following = std::pin::pin!(follower.follow(id));
    let state = tokio::select! {
        state = &mut following => return Ok((state?, Shown::Whole)),
        state = stopping => state?,
    };
    match tokio::time::timeout(LAST_WORDS, following).await {
        Ok(state) => Ok((state?, Shown::Whole)),
        Err(_) => Ok((state, Shown::Part)),
    }
}

/// Waits until the database could not be written for a while; for one that another program holds as long as it takes.
async fn lost(store: &Sqlite) -> StoreError {
    let mut failed = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        match store.probe(Timestamp::now()).await {
            Err(error) if !matches!(error, StoreError::Busy(_)) => {
                failed += 1;
                if failed == LOOKS {
                    return error;
                }
            }
            _ => failed = 0,
        }
    }
}

/// The user of that name, or else the only one there is.
async fn owner(store: &Sqlite, name: Option<&str>) -> Result<User, Failure> {
    if let Some(name) = name {
        let user = store.user_by_name(name).await?;
        return user.ok_or_else(|| format!("owner: there is no user {name:?}").into());
    }
    let mut users = store.users().await?;
    match (users.pop(), users.len()) {
        (Some(user), 0) => Ok(user),
        (None, _) => Err("owner: there is no user yet: add one with `liveops user add NAME`".into()),
        (Some(_), others) => {
            Err(format!("owner: there are {} users: name one with --owner NAME", others + 1).into())
        }
    }
}

fn no_kind(live: &LiveOps, name: &str) -> String {
    let known: Vec<_> = live.kinds().map(|kind| kind.name.as_str()).collect();
    format!("there is no kind {name:?}: expected one of {}", known.join(", "))
}

/// The fields as a form would have sent them, files as uploads.
async fn submitted(
    live: &LiveOps,
    kind: &Kind,
    pairs: &[String],
    most: u64,
) -> Result<(BTreeMap<String, Submitted>, Vec<Receiving>), Failure> {
    let mut values = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("field: {pair:?} cannot be used: expected NAME=VALUE"))?;
        let field =
            kind.fields.iter().find(|field| field.name == name).ok_or_else(|| no_field(kind, name))?;
        if values.insert(name.to_owned(), Submitted::Text(value.to_owned())).is_some() {
            return Err(format!("field {name}: given twice").into());
        }
        if field.is_file() && !Path::new(value).is_file() {
            let what = if Path::new(value).exists() { "is no regular file" } else { "is not there" };
            return Err(format!("field {name}: {value:?} {what}: expected the path of a file").into());
        }
    }
    // Nobody saw a box here that they could have left unticked.
    for field in kind.fields.iter().filter(|field| field.kind == FieldKind::Checkbox) {
        values.entry(field.name.to_string()).or_insert_with(|| Submitted::Text(field.default.clone()));
    }
    let mut files = Vec::new();
    for field in kind.fields.iter().filter(|field| field.is_file()) {
        if let Some(Submitted::Text(path)) = values.get(&*field.name) {
            let mut receiving = copy(live, Path::new(path), most)
                .await
                .map_err(|error| format!("field {}: {path:?} cannot be used: {error}", field.name))?;
            values.insert(field.name.to_string(), Submitted::File(receiving.complete().await?));
            files.push(receiving);
        }
    }
    Ok((values, files))
}

fn no_field(kind: &Kind, name: &str) -> String {
    let known: Vec<_> = kind.fields.iter().map(|field| &*field.name).collect();
    match known.as_slice() {
        [] => format!("field {name:?}: the kind {} has no fields", kind.name),
        _ => {
            format!("field {name:?}: the kind {} has none of that name, but {}", kind.name, known.join(", "))
        }
    }
}

/// A copy among the uploads, so that the operation can be run again; of `most` bytes at most, as in a form.
async fn copy(live: &LiveOps, path: &Path, most: u64) -> std::io::Result<Receiving> {
    let mut file = File::open(path).await?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut receiving = live.receive(&name).await?;
    let mut piece = vec![0; 64 * 1024];
    let mut left = most;
    loop {
        let length = file.read(&mut piece).await?;
        if length == 0 {
            return Ok(receiving);
        }
        left = left.checked_sub(length as u64).ok_or_else(|| {
            std::io::Error::other(format!("it is larger than the {most} bytes of max_upload_bytes"))
        })?;
        receiving.write(piece.get(..length).unwrap_or_default()).await?;
    }
}

#[cfg(test)]
mod tests {
    use liveops::operation::Field;
    use liveops::{Operation, Progress, SecretKey};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Boxes {}

    impl Operation for Boxes {
        const KIND: &'static str = "boxes";

        fn fields() -> Vec<Field> {
            vec![Field::checkbox("ticked", "Ticked").default("on"), Field::checkbox("empty", "Empty")]
        }

        async fn run(self, progress: Progress) -> liveops::Result {
            progress.result(())
        }
    }

    #[tokio::test]
    async fn a_box_that_is_not_given_is_as_the_form_shows_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let builder = LiveOps::builder()
            .store(Sqlite::open(folder.path().join("db")).expect("a database"))
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .operation::<Boxes>();
        let live = builder.foreground().start().await.expect("it starts");
        let kind = live.kind("boxes").expect("it is there");
        for (pairs, expected) in [
            (&[][..], [true, false]),
            (&["ticked=false", "empty=true"], [false, true]),
            (&["ticked=off"], [false, false]),
            (&["ticked=", "empty=on"], [false, true]),
        ] {
            let pairs: Vec<_> = pairs.iter().map(ToString::to_string).collect();
            let (values, _) = submitted(&live, kind, &pairs, 0).await.expect("they are read");
            let input = read_form(&kind.fields, &values).expect("they fit");
            assert_eq!([&input["ticked"], &input["empty"]], expected, "{pairs:?}");
        }
    }
}
