//! Reads CSV rows as a stream, and knows on which physical line each one starts.
//!
//! Cells are read as Python's `csv` module (`excel` dialect, not strict) reads a file opened with
//! `newline=""`: a cell is quoted where it begins with `"`, `""` inside is one quote, what follows
//! the closing quote belongs to the cell, a quote elsewhere is an ordinary character. Rows end at
//! LF, CRLF or a lone CR; empty lines are no rows. Lines are counted as its `line_num` counts them:
//! LF, CRLF and a lone CR are one line each, inside quotes too. Two things it would take are
//! refused: a quote that is never closed, which would swallow every row after it without a word,
//! and a NUL byte, which text does not have.

#[cfg(test)]
mod tests;

use std::io::{self, Read};

use super::columns::MOST_COLUMNS;

/// Longest row, in bytes; one that is held in memory.
pub(super) const ROW_LIMIT: usize = 8 * 1024 * 1024;

const BUFFER: usize = 64 * 1024;

/// Why the file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line} has a NUL byte")]
    Nul { line: u64 },
    #[error("the quote that is opened on line {line} is never closed")]
    OpenQuote { line: u64 },
    #[error("the row on line {line} is longer than {} MiB", ROW_LIMIT / 1024 / 1024)]
    TooLong { line: u64 },
}

/// The rows of a CSV text; the byte order mark is skipped before.
pub(super) struct Rows<R> {
    source: R,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    /// A NUL byte follows what is in the buffer.
    nul_follows: bool,
    bytes_read: u64,
    /// The physical line of the next byte, from 1.
    line: u64,
    /// The last byte was a CR, so that a LF now ends the same line.
    after_cr: bool,
    row: Row,
}

/// One row.
#[derive(Debug, Default)]
pub(super) struct Row {
    line: u64,
    bytes: Vec<u8>,
    /// Where each cell ends in `bytes`; only as many as a header may have.
    ends: Vec<usize>,
    cells: usize,
    too_long: bool,
}

enum State {
    RowStart,
    CellStart,
    Plain,
    Quoted { since: u64 },
    QuoteInQuoted { since: u64 },
}

impl<R: Read> Rows<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            at: 0,
            filled: 0,
            nul_follows: false,
            bytes_read: 0,
            line: 1,
            after_cr: false,
            row: Row::default(),
        }
    }

    /// How much was read of the source so far, in whole buffers.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next row, until there is none.
    pub(super) fn next(&mut self) -> Result<Option<&Row>, Problem> {
        self.row.clear();
        let mut state = State::RowStart;
        loop {
            if self.at == self.filled && !self.fill()? {
                return match state {
                    State::RowStart => Ok(None),
                    State::Quoted { since } => Err(Problem::OpenQuote { line: since }),
                    _ => self.end_row().map(Some),
                };
            }
            state = match state {
                State::RowStart => match self.buffer[self.at] {
                    newline @ (b'\r' | b'\n') => {
                        self.pass_newline(newline);
                        State::RowStart
                    }
                    _ => {
                        self.row.line = self.line;
                        self.after_cr = false;
                        State::CellStart
                    }
                },
                State::CellStart if self.buffer[self.at] == b'"' => {
                    self.at += 1;
                    State::Quoted { since: self.line }
                }
                State::CellStart => State::Plain,
                State::Plain => match self.take_until(|byte| matches!(byte, b',' | b'\r' | b'\n')) {
                    None => State::Plain,
                    Some(b',') => {
                        self.at += 1;
                        self.row.end_cell();
                        State::CellStart
                    }
                    Some(newline) => {
                        self.pass_newline(newline);
                        return self.end_row().map(Some);
                    }
                },
                State::Quoted { since } => match self.take_until(|byte| matches!(byte, b'"' | b'\r' | b'\n'))
                {
                    None => State::Quoted { since },
                    Some(b'"') => {
                        self.at += 1;
                        self.after_cr = false;
                        State::QuoteInQuoted { since }
                    }
                    Some(newline) => {
                        self.row.push(&[newline]);
                        self.pass_newline(newline);
                        State::Quoted { since }
                    }
                },
                State::QuoteInQuoted { since } if self.buffer[self.at] == b'"' => {
                    self.at += 1;
                    self.row.push(b"\"");
                    State::Quoted { since }
                }
                State::QuoteInQuoted { .. } => State::Plain,
            };
        }
    }

    /// Adds to the row what comes before the first byte that `stops`, which is returned, or all
    /// that is in the buffer.
    fn take_until(&mut self, stops: impl Fn(u8) -> bool) -> Option<u8> {
        let chunk = &self.buffer[self.at..self.filled];
        let length = chunk.iter().position(|&byte| stops(byte)).unwrap_or(chunk.len());
        if length > 0 {
            self.row.push(&chunk[..length]);
            self.after_cr = false;
            self.at += length;
        }
        (self.at < self.filled).then(|| self.buffer[self.at])
    }

    fn pass_newline(&mut self, newline: u8) {
        self.at += 1;
        if !(newline == b'\n' && self.after_cr) {
            self.line += 1;
        }
        self.after_cr = newline == b'\r';
    }

    fn end_row(&mut self) -> Result<&Row, Problem> {
        self.row.end_cell();
        if self.row.too_long { Err(Problem::TooLong { line: self.row.line }) } else { Ok(&self.row) }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool, Problem> {
        if self.nul_follows {
            return Err(Problem::Nul { line: self.line });
        }
        let length = loop {
            match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.at = 0;
        self.filled = length;
        self.bytes_read += length as u64;
        if self.buffer[..length].contains(&0) {
            let nul = self.buffer[..length].iter().position(|&byte| byte == 0);
            self.filled = nul.unwrap_or(length);
            self.nul_follows = true;
            if self.filled == 0 {
                return self.fill();
            }
        }
        Ok(length > 0)
    }
}

impl Row {
    /// The physical line on which it starts, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// How many cells it has.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// Its cells as text; `None` where it is not UTF-8. Cells beyond [`MOST_COLUMNS`] are left out.
    pub(super) fn text(&self) -> Option<impl Iterator<Item = &str>> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        // Two cells may be valid together and not each alone.
        if !self.ends.iter().all(|&end| text.is_char_boundary(end)) {
            return None;
        }
        let mut start = 0;
        Some(self.ends.iter().map(move |&end| &text[std::mem::replace(&mut start, end)..end]))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.cells = 0;
        self.too_long = false;
    }

    /// What is over the limit is passed over, so that memory stays bounded.
    fn push(&mut self, bytes: &[u8]) {
        self.too_long |= self.bytes.len() + bytes.len() > ROW_LIMIT;
        if !self.too_long {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn end_cell(&mut self) {
        self.cells += 1;
        if self.cells <= MOST_COLUMNS {
            self.ends.push(self.bytes.len());
        }
    }
}
