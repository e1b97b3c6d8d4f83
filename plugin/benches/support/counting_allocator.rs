//! An allocator that counts what goes through it: calls by thread, octets over all.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, counted. Made the global one by those who measure.
pub struct CountingAllocator;

static LIVE: Sizes = Sizes::new();
static PEAK: Sizes = Sizes::new();

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Sizes {
    asked: AtomicUsize,
    taken: AtomicUsize,
}

impl Sizes {
    const fn new() -> Self {
        Self { asked: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
    }
}

/// Octets of memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Octets {
    /// What was asked for.
    pub asked: usize,
    /// What glibc's malloc takes for that: 8 octets more each, in steps of 16, at least 32.
    pub taken: usize,
}

/// The octets that are allocated now.
pub fn live() -> Octets {
    Octets { asked: LIVE.asked.load(Relaxed), taken: LIVE.taken.load(Relaxed) }
}

/// The most octets that were allocated at once since [`reset_peak`].
pub fn peak() -> Octets {
    Octets { asked: PEAK.asked.load(Relaxed), taken: PEAK.taken.load(Relaxed) }
}

/// Lets the peak start from now.
pub fn reset_peak() {
    PEAK.asked.store(LIVE.asked.load(Relaxed), Relaxed);
    PEAK.taken.store(LIVE.taken.load(Relaxed), Relaxed);
}

/// How often this thread has allocated or reallocated.
pub fn calls() -> usize {
    CALLS.get()
}

fn taken(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

fn add(size: usize) {
    PEAK.asked.fetch_max(LIVE.asked.fetch_add(size, Relaxed) + size, Relaxed);
    PEAK.taken.fetch_max(LIVE.taken.fetch_add(taken(size), Relaxed) + taken(size), Relaxed);
    // A thread that is ending has no counter any more.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

fn subtract(size: usize) {
    LIVE.asked.fetch_sub(size, Relaxed);
    LIVE.taken.fetch_sub(taken(size), Relaxed);
}

// SAFETY: every call is handed to `System` as it is, which keeps the contract; the counters do not allocate.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        subtract(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        subtract(layout.size());
        add(new_size);
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
