//! Reads CSV rows as a stream, and knows on which physical line each one starts.
//!
//! The `csv` crate's core takes the cells apart; what its reader does not do is done here: memory
//! stays bounded whatever the file holds, and lines are counted as people and editors count them
//! (LF, CRLF and a lone CR are one line each, inside quotes and between rows too). Two things that
//! it would take are refused: a quote that is never closed, which would swallow every row after it
//! without a word, and a NUL byte, which text does not have.

#[cfg(test)]
mod tests;

use std::io::{self, Read};

use csv_core::ReadRecordResult;

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
    #[error("the row that starts on line {line} has a quote that is never closed")]
    OpenQuote { line: u64 },
    #[error("the row on line {line} is longer than {} MiB", ROW_LIMIT / 1024 / 1024)]
    TooLong { line: u64 },
}

/// The rows of a CSV text; the byte order mark is skipped before.
pub(super) struct Rows<R> {
    source: R,
    core: csv_core::Reader,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
    /// A NUL byte follows what is in the buffer.
    nul_follows: bool,
    bytes_read: u64,
    lines: Lines,
    row: Row,
}

/// Counts physical lines.
struct Lines {
    /// The line of the next byte, from 1.
    next: u64,
    /// The last byte was a CR, so that a LF now ends the same line.
    after_cr: bool,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    line: u64,
    bytes: Vec<u8>,
    /// How much of `bytes` is the row's.
    length: usize,
    /// Where each cell ends in `bytes`; only as many as a header may have.
    ends: Vec<usize>,
    cells: usize,
    too_long: bool,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            core: csv_core::Reader::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            at: 0,
            filled: 0,
            nul_follows: false,
            bytes_read: 0,
            lines: Lines { next: 1, after_cr: false },
            row: Row::new(),
        }
    }

    /// How much was read of the source so far, in whole buffers.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next row, until there is none.
    pub(super) fn next(&mut self) -> Result<Option<&Row>, Problem> {
        if !self.skip_empty_lines()? {
            return Ok(None);
        }
        self.row.clear(self.lines.next);
        loop {
            let at_end = self.at == self.filled && !self.fill()?;
            // The end is tried with a line break: only within quotes does it not end the row.
            let input = if at_end { b"\n".as_slice() } else { &self.buffer[self.at..self.filled] };
            let (result, consumed) = self.row.read(&mut self.core, input);
            if !at_end {
                self.lines.pass(&input[..consumed]);
                self.at += consumed;
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty if at_end => {
                    return Err(Problem::OpenQuote { line: self.row.line });
                }
                ReadRecordResult::InputEmpty
                | ReadRecordResult::OutputFull
                | ReadRecordResult::OutputEndsFull => {}
            }
        }
        if self.row.too_long { Err(Problem::TooLong { line: self.row.line }) } else { Ok(Some(&self.row)) }
    }

    /// Goes to where the next row starts; false where there is none.
    fn skip_empty_lines(&mut self) -> Result<bool, Problem> {
        loop {
            let rest = &self.buffer[self.at..self.filled];
            let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.lines.pass(&rest[..empty]);
            self.at += empty;
            if self.at < self.filled {
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool, Problem> {
        if self.nul_follows {
            return Err(Problem::Nul { line: self.lines.next });
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

impl Lines {
    fn pass(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.next += 1;
                    self.after_cr = byte == b'\r';
                }
                _ => self.after_cr = false,
            }
        }
    }
}

impl Row {
    fn new() -> Self {
        Self { line: 0, bytes: vec![0; BUFFER], length: 0, ends: Vec::new(), cells: 0, too_long: false }
    }

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
        let text = std::str::from_utf8(&self.bytes[..self.length]).ok()?;
        // Two cells may be valid together and not each alone.
        if !self.ends.iter().all(|&end| text.is_char_boundary(end)) {
            return None;
        }
        let mut start = 0;
        Some(self.ends.iter().map(move |&end| &text[std::mem::replace(&mut start, end)..end]))
    }

    fn clear(&mut self, line: u64) {
        (self.line, self.length, self.cells, self.too_long) = (line, 0, 0, false);
        self.ends.clear();
    }

    /// Takes what the core makes of `input`; returns its result and how much of it was consumed.
    /// What is over the limit is passed over, so that memory stays bounded.
    fn read(&mut self, core: &mut csv_core::Reader, input: &[u8]) -> (ReadRecordResult, usize) {
        if self.length == self.bytes.len() {
            if self.bytes.len() < ROW_LIMIT {
                self.bytes.resize(ROW_LIMIT.min(self.bytes.len() * 2), 0);
            } else {
                self.too_long = true;
                self.length = 0;
            }
        }
        let mut ends = [0; 64];
        let (result, consumed, written, cells) =
            core.read_record(input, &mut self.bytes[self.length..], &mut ends);
        self.length += written;
        self.cells += cells;
        let room = MOST_COLUMNS.saturating_sub(self.ends.len());
        self.ends.extend_from_slice(&ends[..cells.min(room)]);
        (result, consumed)
    }
}
