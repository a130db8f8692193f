//! What a policy's hidden layers made of a rollout while it was acted in: the gradient of the very same policy starts from there instead
//! of sending every row forward once more.
//!
//! The numbers are those that the gradient's own pass would make, to the bit: a row's do not depend on how many are sent forward
//! together. Whether they are of the same policy and of the same rows is known by two stamps that nothing in this process shares, and by
//! the observations themselves, so that whoever finds others (another policy by now, a buffer that has been filled anew, observations that
//! have been changed since) computes them himself.

use crate::compute::{SHARD_ROWS, shard_rows_of};
use relax_nn::{EncodedShape, EncodedWorkspace};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most bytes of activations of one rollout that are kept: beyond what a processor's last cache holds, fetching them costs more than
/// computing them.
const MOST_BYTES: usize = 16 << 20;

/// A number that nothing else in this process has, never 0.
pub(crate) fn stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// [`SHARD_ROWS`] rows of one filling.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Stamp of the filling.
    filling: u64,
    workspace: EncodedWorkspace,
    /// What the network saw, `[rows, D]`.
    input: Vec<f32>,
    /// What the network said, `[rows, outputs]`, before anything was masked.
    output: Vec<f32>,
}

/// Some rows of a rollout, in a chunk.
#[derive(Debug, Clone)]
struct Piece {
    rows: Range<usize>,
    chunk: Arc<Mutex<Chunk>>,
    filling: u64,
    /// Where they start in the chunk.
    first: usize,
}

/// The activations of a rollout's rows, or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// Stamp of the policy that acted; 0: nothing is kept.
    policy: u64,
    /// In the order of their rows, without gaps.
    pieces: Vec<Piece>,
    /// Those that are filled here.
    chunks: Vec<Arc<Mutex<Chunk>>>,
    filling: u64,
    /// There have once been more than should be kept.
    outgrown: bool,
}

/// What is kept is no part of what a rollout is.
impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Where the activations of a shard lie.
pub(crate) enum Found<'a> {
    /// In the workspace that was given.
    Here(&'a mut EncodedWorkspace),
    /// Where they were made: a chunk that nobody else uses meanwhile.
    There(MutexGuard<'a, Chunk>),
}

impl Found<'_> {
    pub(crate) fn workspace(&mut self) -> &mut EncodedWorkspace {
        match self {
            Self::Here(workspace) => workspace,
            Self::There(chunk) => &mut chunk.workspace,
        }
    }
}

impl Chunk {
    /// What the network said of `rows`, if they are of this filling and it saw `x` there.
    fn rows(&self, filling: u64, shape: &EncodedShape, rows: Range<usize>, x: &[f32]) -> Option<&[f32]> {
        let of = |width: usize| rows.start * width..rows.end * width;
        let seen = self.input.get(of(shape.input()))?;
        self.output.get(of(shape.output())).filter(|_| self.filling == filling && seen == x)
    }
}

fn lock(chunk: &Mutex<Chunk>) -> MutexGuard<'_, Chunk> {
    // Whatever a panic has left there: it is overwritten or not asked for.
    chunk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.policy = 0;
        self.pieces.clear();
    }

    /// Keeps from now on what the policy with the stamp `policy` makes of the rows of a rollout; 0: nothing.
    pub(crate) fn begin(&mut self, policy: u64) {
        self.clear();
        if !self.outgrown {
            self.policy = policy;
            self.filling = stamp();
        }
    }

    /// Whether what a policy makes of further rows is to be kept.
    pub(crate) fn is_open(&self) -> bool {
        self.policy != 0
    }

    /// output `[rows, outputs]` ← the network at `observations` `[rows, D]`, which are the rollout's next `rows`. Says whether it has: if
    /// there are too many by now, it has not, and nothing is kept.
    pub(crate) fn forward(
        &mut self,
        (shape, parameters): (&EncodedShape, &[f32]),
        observations: &[f32],
        rows: Range<usize>,
        output: &mut [f32],
    ) -> bool {
        let (dim, outputs, head) = (shape.input(), shape.output(), shape.head());
        let width = head.hidden().iter().sum::<usize>() + outputs;
        self.outgrown |= rows.end * width * size_of::<f32>() > MOST_BYTES;
        let next = self.pieces.last().map_or(0, |piece| piece.rows.end);
        if self.outgrown || rows.start != next || shape.encoder().is_some() {
            self.clear();
            return false;
        }
        let mut done = 0;
        while done < rows.len() {
            let at = rows.start + done;
            let (i, first) = (at / SHARD_ROWS, at % SHARD_ROWS);
            if i == self.chunks.len() {
                self.chunks.push(Arc::default());
            }
            let taken = (SHARD_ROWS - first).min(rows.len() - done);
            let mut chunk = lock(&self.chunks[i]);
            let Chunk { filling, workspace, input, output: kept } = &mut *chunk;
            *filling = self.filling;
            let x = &observations[done * dim..(done + taken) * dim];
            let output = &mut output[done * outputs..(done + taken) * outputs];
            head.forward_behind(parameters, x, first, workspace.head_mut(), output);
            kept.truncate(first * outputs);
            kept.extend_from_slice(output);
            input.truncate(first * dim);
            input.extend_from_slice(x);
            drop(chunk);
            match self.pieces.last_mut() {
                Some(piece) if first > 0 => piece.rows.end += taken,
                _ => self.pieces.push(Piece {
                    rows: at..at + taken,
                    chunk: Arc::clone(&self.chunks[i]),
                    filling: self.filling,
                    first,
                }),
            }
            done += taken;
        }
        true
    }

    /// Takes over what is kept of a whole rollout, or starts to take over what is kept of several by
    /// [`extend`](Self::extend): nothing, if they were not acted in by one policy.
    pub(crate) fn merge<'a>(&mut self, mut parts: impl Iterator<Item = &'a Kept>) {
        self.clear();
        let Some(first) = parts.next() else { return };
        let mut others = parts.peekable();
        if others.peek().is_none() {
            self.pieces.extend_from_slice(&first.pieces);
            self.policy = first.policy;
        } else if others.all(|part| part.policy == first.policy) {
            self.policy = first.policy;
        }
    }

    /// Adds what is kept of `rows` of one of several parts.
    pub(crate) fn extend(&mut self, part: &Kept, rows: Range<usize>) {
        if self.policy == 0 {
            return;
        }
        for piece in part.overlapping(&rows) {
            let (start, end) = (piece.rows.start.max(rows.start), piece.rows.end.min(rows.end));
            let at = self.pieces.last().map_or(0, |piece| piece.rows.end);
            let first = piece.first + start - piece.rows.start;
            self.pieces.push(Piece { rows: at..at + end - start, first, ..piece.clone() });
        }
    }

    fn overlapping(&self, rows: &Range<usize>) -> &[Piece] {
        let first = self.pieces.partition_point(|piece| piece.rows.end <= rows.start);
        let behind = self.pieces.partition_point(|piece| piece.rows.start < rows.end);
        &self.pieces[first.min(behind)..behind]
    }

    /// Where the activations of shard `i` of `rows` lie, if they are those of the network `shape` with the stamp `policy` at observations
    /// `x` `[r, D]`, and what it said there in `output` `[r, outputs]`. They are brought to `own` if they are not all in one place.
    pub(crate) fn find<'a>(
        &'a self,
        policy: u64,
        shape: &EncodedShape,
        (i, rows, x): (usize, usize, &[f32]),
        own: &'a mut EncodedWorkspace,
        output: &mut [f32],
    ) -> Result<Found<'a>, &'a mut EncodedWorkspace> {
        if policy == 0 || self.policy != policy {
            return Err(own);
        }
        let rows = shard_rows_of(SHARD_ROWS, i, rows);
        let (pieces, outputs) = (self.overlapping(&rows), shape.output());
        if let [piece] = pieces
            && piece.rows == rows
            && piece.first == 0
        {
            let chunk = lock(&piece.chunk);
            let Some(kept) = chunk.rows(piece.filling, shape, 0..rows.len(), x) else { return Err(own) };
            output.copy_from_slice(kept);
            return Ok(Found::There(chunk));
        }
        let mut next = rows.start;
        for piece in pieces {
            let here = piece.rows.start.max(rows.start)..piece.rows.end.min(rows.end);
            let first = piece.first + here.start - piece.rows.start;
            let chunk = lock(&piece.chunk);
            let at = here.start - rows.start;
            let seen = &x[at * shape.input()..(at + here.len()) * shape.input()];
            let kept = chunk.rows(piece.filling, shape, first..first + here.len(), seen);
            let Some(kept) = kept.filter(|_| here.start == next) else { return Err(own) };
            output[at * outputs..(at + here.len()) * outputs].copy_from_slice(kept);
            let theirs = chunk.workspace.head();
            own.head_mut().take_rows(shape.head(), theirs, first..first + here.len(), at);
            next = here.end;
        }
        if next == rows.end { Ok(Found::Here(own)) } else { Err(own) }
    }
}

#[cfg(test)]
mod tests;
