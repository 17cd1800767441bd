//! Room for objects in flight, as many as the level allows. Each slot's connections keep buffers, which come out of the memory
//! budget: what a level needs is reserved before it is used, and at least half of the budget is left for bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::object_limit::ObjectLimit;
use super::{NEVER_CLOSED, UNIT};
use skyferry_core::metrics::LimitGauge;

/// What an object in flight keeps beside its bytes: the buffers of a connection on each side, and its job.
pub(super) const OBJECT: u64 = 40 << 10;

/// All slots of one agent. Clones are the same.
#[derive(Clone)]
pub(super) struct SlotPool(Arc<Shared>);

struct Shared {
    /// Units of memory that are never reserved.
    left: u32,
    free: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    level: ObjectLimit,
    /// Slots that there are: the level, more while those beyond it are still in use, and fewer while memory lacks.
    slots: usize,
    /// Units of memory for so many.
    reserved: u32,
    /// No more than this.
    most_reserved: u32,
    shown: LimitGauge,
}

/// Room for some objects in flight. Taken before a message is received.
#[must_use]
pub struct Slots {
    permit: Option<OwnedSemaphorePermit>,
    room: SlotPool,
    /// Of one object: since when it is worked on.
    began: Option<Instant>,
    counts: bool,
}

impl SlotPool {
    /// `budget`: all units of memory, of which none is taken yet.
    pub fn new(start: usize, most: usize, budget: u32, memory: Arc<Semaphore>) -> SlotPool {
        let level = ObjectLimit::new(start, most, Instant::now());
        let state = State { level, slots: 0, reserved: 0, most_reserved: budget / 2, shown: LimitGauge::default() };
        let left = (budget - state.units(state.level.most())).max(1);
        let free = Arc::new(Semaphore::new(0));
        let room = SlotPool(Arc::new(Shared { left, free, memory, state: Mutex::new(state) }));
        room.0.follow(&mut room.0.state());
        room
    }

    /// Units of memory that are never reserved for slots.
    pub fn left(&self) -> u32 {
        self.0.left
    }

    /// Where it starts, and what it never exceeds.
    pub fn bounds(&self) -> (usize, usize) {
        let level = &self.0.state().level;
        (level.get(), level.most())
    }

    pub fn at_once(&self) -> usize {
        self.0.state().level.get()
    }

    pub fn report_to(&self, limit: LimitGauge) {
        let mut state = self.0.state();
        state.shown = limit;
        self.0.follow(&mut state);
    }

    pub fn stalled(&self) {
        let mut state = self.0.state();
        state.level.stalled(Instant::now());
        self.0.follow(&mut state);
    }

    /// Waits for room for up to `most` objects: for all of it for as long as `patience`, then for one at least. Messages
    /// come cheaper by ten, but a long transfer must not keep the room beside it empty.
    pub async fn take(&self, most: usize, patience: Duration) -> Slots {
        let most = u32::try_from(most.clamp(1, self.at_once())).unwrap_or(u32::MAX);
        let free = &self.0.free;
        let all = free.clone().acquire_many_owned(most);
        if let Ok(permit) = tokio::time::timeout(patience, all).await {
            return self.slots(permit.expect(NEVER_CLOSED));
        }
        let mut permit = free.clone().acquire_owned().await.expect(NEVER_CLOSED);
        while permit.num_permits() < most as usize {
            match free.clone().try_acquire_owned() {
                Ok(more) => permit.merge(more),
                Err(_) => break,
            }
        }
        self.slots(permit)
    }

    fn slots(&self, permit: OwnedSemaphorePermit) -> Slots {
        Slots { permit: Some(permit), room: self.clone(), began: None, counts: true }
    }
}

impl State {
    fn units(&self, slots: usize) -> u32 {
        let units = (slots as u64).saturating_mul(OBJECT / UNIT);
        u32::try_from(units).unwrap_or(u32::MAX).min(self.most_reserved)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the slots what the level is. Those in use are taken away when they come back.
    fn follow(&self, state: &mut State) {
        let level = state.level.get();
        state.shown.set(level as u64, state.level.reason().name());
        if state.slots > level {
            state.slots -= self.free.forget_permits(state.slots - level);
        }
        let (needed, had) = (state.units(state.slots.max(level)), state.reserved);
        if needed > had {
            // Bytes in flight have it: the level is followed when they are gone.
            let Ok(memory) = self.memory.try_acquire_many(needed - had) else { return };
            memory.forget();
        } else {
            self.memory.add_permits((had - needed) as usize);
        }
        state.reserved = needed;
        if level > state.slots {
            self.free.add_permits(level - state.slots);
            state.slots = level;
        }
    }
}

impl Slots {
    /// Room for one object, out of this, which begins now.
    pub fn split(&mut self) -> Option<Slots> {
        let permit = self.permit.as_mut()?.split(1)?;
        let now = Instant::now();
        self.room.0.state().level.on_started(now);
        Some(Slots { permit: Some(permit), room: self.room.clone(), began: Some(now), counts: true })
    }

    pub fn count(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// What came of this object says nothing about how many there should be.
    pub fn exclude_from_statistics(&mut self) {
        self.counts = false;
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let shared = self.room.0.clone();
        let mut state = shared.state();
        if let Some(began) = self.began {
            // An empty queue leaves most of them free.
            let wanted = shared.free.available_permits() * 4 < state.slots;
            state.level.on_finished(began, self.counts, wanted, Instant::now());
        }
        // Given back first: of what is free, what is too much is taken.
        drop(self.permit.take());
        shared.follow(&mut state);
    }
}
