//! What every store does with users, sessions and login links.

use std::time::Duration;

use jiff::Timestamp;
use liveops::store::{Accounts, Digest, StoreError, User};

use super::Home;

const HOUR: Duration = Duration::from_secs(3600);

fn user(name: &str) -> User {
    User {
        id: format!("id of {name}"),
        name: name.to_owned(),
        groups: vec!["operators".to_owned(), "a, \"b\"".to_owned()],
        superuser: true,
        password_hash: Some("$argon2id$…".to_owned()),
    }
}

async fn add(accounts: &dyn Accounts, name: &str) -> User {
    let user = user(name);
    accounts.add_user(user.clone(), Timestamp::now()).await.expect("added");
    user
}

pub(crate) async fn users_are_found_by_their_exact_name(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "Ada").await;
    let bare = User { groups: Vec::new(), superuser: false, password_hash: None, ..user("bare") };
    accounts.add_user(bare.clone(), Timestamp::now()).await.expect("added");
    let find = async |name: &str| accounts.user_by_name(name).await.expect("the store");
    assert_eq!(find("Ada").await, Some(ada));
    assert_eq!(find("bare").await, Some(bare));
    for unknown in ["", "ada", "Ada ", "A%"] {
        assert_eq!(find(unknown).await, None, "{unknown:?}");
    }
    let twin = User { id: "another".to_owned(), ..user("Ada") };
    let refused = accounts.add_user(twin, Timestamp::now()).await;
    assert!(matches!(&refused, Err(StoreError::Taken(name)) if name == "Ada"), "{refused:?}");
    let same_id = User { name: "Eve".to_owned(), ..user("Ada") };
    let refused = accounts.add_user(same_id, Timestamp::now()).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
}

pub(crate) async fn a_session_lasts_until_it_expires_or_is_closed(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "ada").await;
    let now = Timestamp::now();
    let session = Digest::of("first");
    accounts.open_session(session, &ada.id, now + HOUR).await.expect("opened");
    let (_, reopened) = home.open();
    let open_at = async |digest, now| reopened.session_user(digest, now).await.expect("the store");
    assert_eq!(open_at(session, now).await, Some(ada.clone()), "in other processes too");
    assert_eq!(open_at(session, now + HOUR).await, None, "it is over");
    assert_eq!(open_at(Digest::of("other"), now).await, None);

    accounts.open_session(Digest::of("second"), &ada.id, now + HOUR).await.expect("opened");
    accounts.close_session(session).await.expect("closed");
    accounts.close_session(session).await.expect("once more does no harm");
    assert_eq!(open_at(session, now).await, None);
    assert_eq!(open_at(Digest::of("second"), now).await, Some(ada));
    let nobody = accounts.open_session(Digest::of("third"), "nobody", now + HOUR).await;
    assert!(matches!(nobody, Err(StoreError::Failed(_))), "{nobody:?}");
}

pub(crate) async fn a_login_link_signs_in_once(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "ada").await;
    let now = Timestamp::now();
    let link = Digest::of("link");
    let sign_in = async |link, session: &str, now| {
        accounts.use_login_link(link, Digest::of(session), now + HOUR, now).await.expect("the store")
    };
    accounts.add_login_link(link, &ada.id, now + HOUR).await.expect("added");
    assert!(!sign_in(Digest::of("unknown"), "a", now).await);
    assert!(!sign_in(link, "late", now + HOUR).await, "it is over");
    assert!(sign_in(link, "b", now).await);
    assert!(!sign_in(link, "c", now).await, "it is used up");
    let user = async |session: &str| {
        accounts.session_user(Digest::of(session), now).await.expect("the store").map(|user| user.name)
    };
    assert_eq!(user("b").await.as_deref(), Some("ada"));
    for refused in ["a", "late", "c"] {
        assert_eq!(user(refused).await, None, "{refused}");
    }

    // A link whose session can't be opened is not used up.
    accounts.add_login_link(link, &ada.id, now + HOUR).await.expect("added");
    let clash = accounts.use_login_link(link, Digest::of("b"), now + HOUR, now).await;
    assert!(clash.is_err(), "that session is open already");
    assert!(sign_in(link, "d", now).await);
}

pub(crate) async fn a_login_link_used_by_two_signs_in_one(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "ada").await;
    let now = Timestamp::now();
    accounts.add_login_link(Digest::of("link"), &ada.id, now + HOUR).await.expect("added");
    let mut uses = tokio::task::JoinSet::new();
    for n in 0..20 {
        let accounts = home.open().1;
        let session = Digest::of(&format!("session {n}"));
        uses.spawn(async move {
            accounts.use_login_link(Digest::of("link"), session, now + HOUR, now).await.expect("the store")
        });
    }
    assert_eq!(uses.join_all().await.into_iter().filter(|used| *used).count(), 1);
}
