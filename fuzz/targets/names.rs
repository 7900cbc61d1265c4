//! Channels and cursors are what their text says, and what is none is none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use liveops::access::Channel;
use liveops::stream::Cursor;

fuzz_target!(|text: &str| {
    if let Ok(channel) = text.parse::<Channel>() {
        let printed = channel.to_string();
        assert_eq!(printed.parse().as_ref(), Ok(&channel));
        // A UUID may be in capitals (RFC 9562 section 4); whose list it is may not.
        let is_list = matches!(channel, Channel::User(_));
        assert!(
            printed == text || !is_list && printed.eq_ignore_ascii_case(text),
            "{text:?} is read as {printed}"
        );
    }
    let cursor = Cursor::parse(text);
    assert!(cursor == Cursor::START || cursor.to_string() == text, "{text:?} is read as {cursor}");
});
