//! How a page's changes reach every watcher: a cursor into the projection, not a queue.

mod cursor;
mod fragment;
mod frame;
mod hub;
mod list;
mod lists;
mod pace;

pub use cursor::Cursor;
pub use fragment::{Fragment, Swap};
pub use frame::{Frame, FrameBuilder};
pub use hub::{FrameRenderer, Hub, Live, Subject, Watch};
pub use list::{List, ListChange, ListDelta, Look, Mark, Place, ReadRow, ShownRow};
pub use lists::{ListHub, ListWatch, ROWS, RowRenderer, UserList};
pub use pace::Pace;
