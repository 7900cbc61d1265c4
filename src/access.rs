//! Who may see what: channels, tokens, keys, passwords.

mod channel;
mod network;
mod password;
mod secret;
mod token;
mod viewer;

pub use channel::{Channel, ParseChannelError};
pub(crate) use network::network;
pub use password::{Password, PasswordVerifier, hash_password};
pub use secret::{Purpose, SecretKey, SecretKeyError, random_text};
pub use token::{Grant, Keys, Refused, Token};
pub use viewer::Viewer;
