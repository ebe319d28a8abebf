//! An allocator that counts what a thread holds, and gives nothing to whoever asks for far too much.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by its signature; this one hands everything to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// No decoder has any business here: a length was believed. The process ends.
const REFUSED: usize = 512 << 20;

/// The system's allocator with a count for each thread.
pub struct Limited;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Runs something, and says how much it held at once beyond what this thread held before.
pub fn measure<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let value = run();
    (value, usize::try_from(MOST.get() - before).unwrap_or(0))
}

fn count(change: isize) {
    // A thread that ends frees its own storage when these are gone; nobody measures it any more.
    let held = HELD.try_with(|held| {
        held.set(held.get() + change);
        held.get()
    });
    if let Ok(held) = held {
        let _ = MOST.try_with(|most| most.set(most.get().max(held)));
    }
}

// SAFETY: every call goes to the system's allocator as it came, or is refused with null, which is allowed.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > REFUSED {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: it was made by the same allocator with the same layout, or the caller broke its promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > REFUSED {
            return std::ptr::null_mut();
        }
        count(size as isize - layout.size() as isize);
        // SAFETY: as for the two above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
