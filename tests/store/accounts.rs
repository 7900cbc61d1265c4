//! What every store does with users, sessions and login links.

use std::time::Duration;

use jiff::Timestamp;
use liveops::store::{Accounts, Digest, Session, StoreError, User};

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

pub(crate) async fn a_session_is_kept_with_its_times_until_it_is_closed(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "ada").await;
    let now = Timestamp::now();
    let session = Digest::of("first");
    accounts.open_session(session, &ada, now + HOUR, now).await.expect("the store");
    let (_, reopened) = home.open();
    let found = async |digest| reopened.session(digest).await.expect("the store");
    let now = Timestamp::from_microsecond(now.as_microsecond()).expect("as it is stored");
    let expected = |used| Some(Session { user: ada.clone(), expires: now + HOUR, opened: now, used });
    assert_eq!(found(session).await, expected(now), "in other processes too");
    assert_eq!(found(Digest::of("other")).await, None);
    reopened.touch_session(session, now + HOUR / 2).await.expect("noted");
    reopened.touch_session(Digest::of("other"), now).await.expect("one that is not there does no harm");
    let found = async |digest| accounts.session(digest).await.expect("the store");
    assert_eq!(found(session).await, expected(now + HOUR / 2), "there, too");
    assert_eq!(found(Digest::of("other")).await, None);

    accounts.open_session(Digest::of("second"), &ada, now + HOUR, now).await.expect("the store");
    accounts.close_session(session).await.expect("closed");
    accounts.close_session(session).await.expect("once more does no harm");
    assert_eq!(found(session).await, None);
    assert_eq!(found(Digest::of("second")).await, expected(now));
    let nobody = accounts.open_session(Digest::of("third"), &user("nobody"), now + HOUR, now).await;
    assert!(matches!(nobody, Ok(false)), "{nobody:?}");
}

pub(crate) async fn a_session_opens_for_a_user_as_they_are_now(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "ada").await;
    let now = Timestamp::now();
    let expires = now + HOUR;
    let open = async |session: &str, user: &User| {
        accounts.open_session(Digest::of(session), user, expires, now).await.expect("the store")
    };
    assert!(accounts.set_password("ada", "new hash".to_owned()).await.expect("the store"));
    assert!(!open("late", &ada).await, "the old password was right a moment ago");
    let changed = accounts.user_by_name("ada").await.expect("the store").expect("she is there");
    assert!(open("new", &changed).await);
    assert!(accounts.remove_user("ada").await.expect("the store"));
    assert!(!open("gone", &changed).await);
    let late = accounts.session(Digest::of("late")).await;
    assert_eq!(late.expect("the store"), None);
}

pub(crate) async fn an_expired_session_is_left(home: &dyn Home) {
    let (_, accounts) = home.open();
    let ada = add(&*accounts, "ada").await;
    let now = Timestamp::now();
    let expired = Digest::of("expired");
    accounts.open_session(expired, &ada, now - HOUR, now).await.expect("the store");
    // Opening another one, which removes old ones, does not look like its end.
    accounts.open_session(Digest::of("next"), &ada, now + HOUR, now).await.expect("the store");
    let left = accounts.sessions_left(vec![expired]).await.expect("the store");
    assert_eq!(left, [(expired, ada)]);
    accounts.close_session(expired).await.expect("closed");
    assert_eq!(accounts.sessions_left(vec![expired]).await.expect("the store"), []);
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
        accounts.session(Digest::of(session)).await.expect("the store").map(|session| session.user.name)
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

pub(crate) async fn what_is_changed_of_a_user_ends_what_it_must(home: &dyn Home) {
    let (_, accounts) = home.open();
    let now = Timestamp::now();
    let (ada, eve) = (add(&*accounts, "ada").await, add(&*accounts, "eve").await);
    for (session, user) in [("a", &ada), ("b", &ada), ("c", &eve)] {
        accounts.open_session(Digest::of(session), user, now + HOUR, now).await.expect("opened");
    }
    let past = now - HOUR;
    accounts.open_session(Digest::of("expired"), &eve, past, now).await.expect("opened");
    let (_, other) = home.open();
    let all = ["a", "b", "c", "expired", "unknown"].map(Digest::of);
    let left = async || {
        let left = other.sessions_left(all.to_vec()).await.expect("the store");
        left.into_iter().map(|(session, user)| (session, user.name)).collect::<Vec<_>>()
    };
    let name = |name: &str| name.to_owned();
    let [a, b, c, expired, _] = all;
    assert_eq!(left().await, [(a, name("ada")), (b, name("ada")), (c, name("eve")), (expired, name("eve"))]);

    accounts.add_login_link(Digest::of("link"), &ada.id, now + HOUR).await.expect("added");
    assert_eq!(accounts.set_password("ada", "new".to_owned()).await.ok(), Some(true));
    assert_eq!(left().await, [(c, name("eve")), (expired, name("eve"))]);
    let used = accounts.use_login_link(Digest::of("link"), Digest::of("d"), now + HOUR, now).await;
    assert_eq!(used.ok(), Some(false), "a link is a way in, too");
    let changed = accounts.user_by_name("ada").await.expect("the store").expect("she stays");
    assert_eq!(changed, User { password_hash: Some("new".to_owned()), ..ada });

    assert_eq!(accounts.set_groups("eve", vec!["x".to_owned()]).await.ok(), Some(true));
    let users = accounts.users().await.expect("the store");
    let groups: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.groups.len())).collect();
    assert_eq!(groups, [("ada", 2), ("eve", 1)]);
    assert_eq!(left().await.len(), 2);

    assert_eq!(accounts.remove_user("eve").await.ok(), Some(true));
    assert_eq!(left().await, []);
    for refused in [
        accounts.remove_user("eve").await,
        accounts.set_password("eve", "x".to_owned()).await,
        accounts.set_groups("eve", Vec::new()).await,
    ] {
        assert_eq!(refused.ok(), Some(false));
    }
}
