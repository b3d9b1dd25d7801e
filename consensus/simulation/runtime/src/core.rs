//! The one state of a simulation's runtime: tasks, timers, the clock and the random numbers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::FutureExt;
use tokio::sync::oneshot;

use crate::group::{Group, Halted};
use crate::random::{Random, mixed};
use crate::task::{Body, JoinError, JoinHandle, TaskId, TaskWaker, Woken};

/// Nothing is earlier, and openraft may subtract from the present.
const START_NANOS: u64 = 1_000_000_000_000_000;

/// A poll takes less virtual time than this.
const POLL_NANOS: u64 = 4_000;

/// The future that the executor was given. It is no task: it may borrow.
pub(crate) const MAIN: TaskId = 0;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Core>>> = const { RefCell::new(None) };
}

/// Shared by the executor and everything that runs in it.
#[derive(Debug)]
pub(crate) struct Core {
    state: Mutex<State>,
    pub(crate) woken: Arc<Woken>,
}

struct State {
    now: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    next_timer: u64,
    tasks: BTreeMap<TaskId, Task>,
    next_task: TaskId,
    ready: BTreeSet<TaskId>,
    halted: Halted,
    running: (TaskId, Group),
    order: Random,
    draws: Random,
    steps: u64,
    fingerprint: u64,
    panics: Vec<(Group, String)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("now", &self.now).field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

struct Task {
    group: Group,
    waker: Waker,
    /// Absent while it is polled.
    body: Option<Body>,
}

impl Core {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            now: START_NANOS,
            timers: BTreeMap::new(),
            next_timer: 0,
            tasks: BTreeMap::new(),
            next_task: MAIN + 1,
            ready: BTreeSet::new(),
            halted: Halted::default(),
            running: (MAIN, Group::WORLD),
            order: Random::stream(seed, "order"),
            draws: Random::stream(seed, "draws"),
            steps: 0,
            fingerprint: seed,
            panics: Vec::new(),
        };
        Self { state: Mutex::new(state), woken: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The core of the executor that runs on this thread.
    pub(crate) fn current() -> Arc<Self> {
        Self::try_current().unwrap_or_else(|| panic!("this needs a simulation: call it within Executor::block_on"))
    }

    pub(crate) fn try_current() -> Option<Arc<Self>> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Makes this the thread's core; gives the one before it.
    pub(crate) fn replace_current(core: Option<Arc<Self>>) -> Option<Arc<Self>> {
        CURRENT.with(|current| current.replace(core))
    }

    pub(crate) fn now(&self) -> u64 {
        self.state().now
    }

    pub(crate) fn draw(&self) -> u64 {
        self.state().draws.draw()
    }

    /// Sets or renews a timer; gives its key.
    pub(crate) fn set_timer(&self, deadline: u64, known: Option<u64>, waker: &Waker) -> u64 {
        let mut state = self.state();
        let key = known.unwrap_or_else(|| {
            state.next_timer += 1;
            state.next_timer
        });
        state.timers.insert((deadline, key), waker.clone());
        key
    }

    pub(crate) fn remove_timer(&self, deadline: u64, key: u64) {
        let removed = self.state().timers.remove(&(deadline, key));
        drop(removed);
    }

    pub(crate) fn add(self: &Arc<Self>, group: Group, body: Body) {
        let mut state = self.state();
        let task = state.next_task;
        state.next_task += 1;
        let waker = Waker::from(Arc::new(TaskWaker { task, woken: Arc::clone(&self.woken) }));
        state.tasks.insert(task, Task { group, waker, body: Some(body) });
        drop(state);
        self.woken.push(task);
    }

    /// Takes the tasks of a group out; the caller drops them.
    pub(crate) fn remove(&self, group: Group) -> Vec<Option<Body>> {
        let mut state = self.state();
        let gone: Vec<TaskId> =
            state.tasks.iter().filter(|(_, task)| task.group == group).map(|(&task, _)| task).collect();
        gone.iter()
            .map(|task| {
                state.ready.remove(task);
                state.tasks.remove(task).and_then(|task| task.body)
            })
            .collect()
    }

    pub(crate) fn pause(&self, group: Group) {
        let mut state = self.state();
        state.halted.groups.insert(group);
        let State { ready, tasks, halted, .. } = &mut *state;
        let (held, others): (BTreeSet<TaskId>, BTreeSet<TaskId>) =
            ready.iter().partition(|task| tasks.get(task).is_some_and(|task| task.group == group));
        *ready = others;
        halted.tasks.extend(held);
    }

    pub(crate) fn resume(&self, group: Group) {
        let mut state = self.state();
        state.halted.groups.remove(&group);
        let held = std::mem::take(&mut state.halted.tasks);
        drop(state);
        // Those of groups that are still halted are held again.
        held.into_iter().for_each(|task| self.woken.push(task));
    }

    /// Which task goes on next. Time passes: a little, or up to the next timer when nobody is ready.
    pub(crate) fn next(&self) -> Option<TaskId> {
        loop {
            self.sort_woken();
            let mut state = self.state();
            if state.ready.is_empty() {
                let (next, _) = *state.timers.first_key_value()?.0;
                state.now = state.now.max(next);
            } else {
                let passed = state.order.below(POLL_NANOS);
                state.now += passed;
            }
            let due = state.take_due();
            if !due.is_empty() {
                drop(state);
                due.into_iter().for_each(Waker::wake);
                self.sort_woken();
                state = self.state();
            }
            if let Some(task) = state.choose() {
                return Some(task);
            }
        }
    }

    fn sort_woken(&self) {
        let woken = self.woken.take();
        let mut state = self.state();
        for task in woken {
            let group = if task == MAIN { Some(Group::WORLD) } else { state.tasks.get(&task).map(|task| task.group) };
            match group {
                Some(group) if state.halted.groups.contains(&group) => {
                    state.halted.tasks.insert(task);
                }
                Some(_) => {
                    state.ready.insert(task);
                }
                // It has ended.
                None => {}
            }
        }
    }

    /// What to poll for a task: its body and its waker.
    pub(crate) fn begin(&self, task: TaskId) -> Option<(Body, Waker)> {
        let mut state = self.state();
        let found = state.tasks.get_mut(&task)?;
        let (body, waker, group) = (found.body.take()?, found.waker.clone(), found.group);
        state.running = (task, group);
        Some((body, waker))
    }

    /// Puts a task that waits back. It is given back itself when it was killed in the meantime.
    pub(crate) fn end(&self, task: TaskId, body: Option<Body>) -> Option<Body> {
        let mut state = self.state();
        state.running = (MAIN, Group::WORLD);
        match (body, state.tasks.get_mut(&task)) {
            (Some(body), Some(found)) => {
                found.body = Some(body);
                None
            }
            (Some(body), None) => Some(body),
            (None, _) => {
                let ended = state.tasks.remove(&task);
                drop(state);
                drop(ended);
                None
            }
        }
    }

    /// Every task, to be dropped.
    pub(crate) fn clear(&self) -> Vec<Option<Body>> {
        let mut state = self.state();
        let tasks = std::mem::take(&mut state.tasks);
        let timers = std::mem::take(&mut state.timers);
        drop(state);
        drop(timers);
        tasks.into_values().map(|task| task.body).collect()
    }
}

impl State {
    fn take_due(&mut self) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    fn choose(&mut self) -> Option<TaskId> {
        let place = self.order.below(self.ready.len() as u64);
        let task = *self.ready.iter().nth(usize::try_from(place).ok()?)?;
        self.ready.remove(&task);
        self.steps += 1;
        self.fingerprint = mixed(self.fingerprint ^ task ^ self.now.rotate_left(24));
        Some(task)
    }
}

/// Starts a task in the group of the one that runs.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_in(current_group(), future)
}

/// Starts a task in a group.
pub fn spawn_in<F>(group: Group, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (sender, result) = oneshot::channel();
    let body = async move {
        let ended = AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let message = message.unwrap_or_else(|| "no message".to_owned());
            Core::current().state().panics.push((group, message.clone()));
            JoinError::Panicked(message)
        });
        // Often nobody waits for it.
        let _ = sender.send(ended);
    };
    Core::current().add(group, Box::pin(body));
    JoinHandle { result }
}

/// The group of the task that runs.
pub fn current_group() -> Group {
    Core::current().state().running.1
}

/// How many times a task went on since the start.
pub fn steps() -> u64 {
    Core::current().state().steps
}

/// A digest of the whole order of events: which task went on when. Equal for equal runs.
pub fn fingerprint() -> u64 {
    Core::current().state().fingerprint
}

/// Tasks that panicked since the last call, with their messages.
pub fn take_panics() -> Vec<(Group, String)> {
    std::mem::take(&mut Core::current().state().panics)
}
