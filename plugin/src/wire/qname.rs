//! Names as messages hold them.

use crate::name::{MAX_LABELS, MAX_NAME};

/// The most compression pointers that a name may take, as in miekg/dns.
const MAX_POINTERS: usize = 126;

/// Marks what cannot be read; where it was found does not matter to anyone.
#[derive(Debug)]
pub(crate) struct Malformed;

/// A name taken out of a message: as it was spelled, and in lower case with its labels marked.
#[derive(Clone, Debug)]
pub(crate) struct QName {
    /// The name as spelled, uncompressed.
    raw: [u8; MAX_NAME],
    /// The name in lower case.
    folded: [u8; MAX_NAME],
    len: usize,
    /// Where each label starts in `raw` and `folded`.
    starts: [u8; MAX_LABELS],
    labels: usize,
}

impl Default for QName {
    /// The root.
    fn default() -> Self {
        Self { raw: [0; MAX_NAME], folded: [0; MAX_NAME], len: 1, starts: [0; MAX_LABELS], labels: 0 }
    }
}

impl QName {
    /// Reads the name at `at` of a message; returns where the message goes on.
    pub fn read(&mut self, packet: &[u8], at: usize) -> Result<usize, Malformed> {
        let (mut at, mut after, mut pointers, mut len, mut labels) = (at, None, 0, 0, 0);
        loop {
            let size = usize::from(*packet.get(at).ok_or(Malformed)?);
            at += 1;
            match size & 0xc0 {
                0x00 if size == 0 => break,
                0x00 => {
                    let label = packet.get(at..at + size).ok_or(Malformed)?;
                    if len + 1 + size >= MAX_NAME {
                        return Err(Malformed);
                    }
                    self.starts[labels] = len as u8;
                    labels += 1;
                    self.raw[len] = size as u8;
                    self.raw[len + 1..len + 1 + size].copy_from_slice(label);
                    len += 1 + size;
                    at += size;
                }
                0xc0 => {
                    let low = usize::from(*packet.get(at).ok_or(Malformed)?);
                    after.get_or_insert(at + 1);
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        return Err(Malformed);
                    }
                    at = (size & 0x3f) << 8 | low;
                }
                _ => return Err(Malformed),
            }
        }
        self.raw[len] = 0;
        self.len = len + 1;
        self.labels = labels;
        // Lengths are below 64 and so below every letter: folding all octets alike leaves them as they are.
        let folded = &mut self.folded[..=len];
        folded.copy_from_slice(&self.raw[..=len]);
        folded.make_ascii_lowercase();
        Ok(after.unwrap_or(at))
    }

    /// The name as spelled.
    pub fn raw(&self) -> &[u8] {
        &self.raw[..self.len]
    }

    /// The name in lower case.
    pub fn folded(&self) -> &[u8] {
        &self.folded[..self.len]
    }

    /// The number of labels.
    pub fn label_count(&self) -> usize {
        self.labels
    }

    /// Label `index` from the left, in lower case. Empty past the last label.
    pub fn label(&self, index: usize) -> &[u8] {
        if index >= self.labels {
            return &[];
        }
        let start = usize::from(self.starts[index]);
        let len = usize::from(self.folded[start]);
        &self.folded[start + 1..start + 1 + len]
    }

    /// Where label `index` starts; past the last label, where the final zero is.
    pub fn label_start(&self, index: usize) -> usize {
        if index >= self.labels { self.len - 1 } else { usize::from(self.starts[index]) }
    }
}

/// Follows the name at `at` with the checks of [`QName::read`]; returns where the message goes on.
pub(super) fn skip_name(packet: &[u8], at: usize) -> Result<usize, Malformed> {
    let (mut at, mut after, mut pointers, mut len) = (at, None, 0, 0);
    loop {
        let size = usize::from(*packet.get(at).ok_or(Malformed)?);
        at += 1;
        match size & 0xc0 {
            0x00 if size == 0 => return Ok(after.unwrap_or(at)),
            0x00 => {
                len += 1 + size;
                if at + size > packet.len() || len >= MAX_NAME {
                    return Err(Malformed);
                }
                at += size;
            }
            0xc0 => {
                let low = usize::from(*packet.get(at).ok_or(Malformed)?);
                after.get_or_insert(at + 1);
                pointers += 1;
                if pointers > MAX_POINTERS {
                    return Err(Malformed);
                }
                at = (size & 0x3f) << 8 | low;
            }
            _ => return Err(Malformed),
        }
    }
}
