//! The requests of the clients, for tests to look at.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::routes::RequestLog;

/// Requests that are remembered.
const MOST: usize = 10_000;

/// The last requests.
#[derive(Default)]
pub(crate) struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    entries: VecDeque<RequestLog>,
    /// Number of the first entry.
    first: u64,
}

impl Log {
    /// Notes a request and gives its number.
    pub fn begin(&self, request: RequestLog) -> u64 {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.entries.len() == MOST {
            log.entries.pop_front();
            log.first += 1;
        }
        log.entries.push_back(request);
        log.first + log.entries.len() as u64 - 1
    }

    /// Notes the status code of the answer, unless the request was forgotten.
    pub fn end(&self, number: u64, status: u16) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number.checked_sub(log.first).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| log.entries.get_mut(place)) {
            entry.status = status;
        }
    }

    /// The requests, oldest first.
    pub fn list(&self) -> Vec<RequestLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries.iter().cloned().collect()
    }

    /// Forgets them.
    pub fn clear(&self) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.first += log.entries.len() as u64;
        log.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: usize) -> RequestLog {
        RequestLog {
            method: "GET".to_owned(),
            path: path.to_string(),
            query: String::new(),
            status: 0,
            user_agent: String::new(),
        }
    }

    #[test]
    fn the_log_is_bounded_and_keeps_its_numbers() {
        let log = Log::default();
        let numbers: Vec<u64> = (0..MOST + 2).map(|i| log.begin(request(i))).collect();
        log.end(numbers[0], 500);
        log.end(numbers[MOST + 1], 200);
        let list = log.list();
        assert_eq!((list.len(), list[0].path.as_str(), list[0].status), (MOST, "2", 0));
        assert_eq!(list[MOST - 1].status, 200);
        log.clear();
        let number = log.begin(request(7));
        log.end(numbers[MOST], 500);
        log.end(number, 201);
        assert_eq!(log.list().iter().map(|r| r.status).collect::<Vec<_>>(), [201]);
    }
}
