use proptest::prelude::*;

use super::*;

fn line(text: &impl ToString) -> BoardEvent {
    BoardEvent::Warning(text.to_string())
}

fn at(epoch: u64, number: u64) -> LineCursor {
    LineCursor { epoch, number }
}

fn ring(lines_max: usize, epoch: u64, lines: u64) -> Ring {
    let mut ring = Ring::bounded(lines_max, usize::MAX);
    ring.begin(epoch);
    (1..=lines).for_each(|number| ring.publish(line(&number)));
    ring
}

#[test]
fn a_reader_that_fell_behind_is_told_how_many_lines_are_gone_and_gets_the_rest() {
    let told = ring(2, 1, 5).read(at(1, 1));
    let rest = [(at(1, 3), Told::LeftOut(2)), (at(1, 4), Told::Event(line(&4))), (at(1, 5), Told::Event(line(&5)))];
    assert_eq!(told, rest);
}

#[test]
fn a_reader_that_comes_late_is_told_what_is_kept_no_more() {
    assert_eq!(ring(2, 7, 3).read(LineCursor::default())[0], (at(7, 1), Told::LeftOut(1)));
    assert_eq!(ring(2, 7, 2).read(LineCursor::default())[0], (at(7, 1), Told::Event(line(&1))));
    assert_eq!(ring(2, 7, 0).read(LineCursor::default()), []);
}

#[test]
fn another_owner_is_said_before_its_first_line_and_also_without_one() {
    let mut mirror = ring(9, 1, 2);
    mirror.take(Page { lines: Vec::new(), head: at(2, 0) });
    assert_eq!(mirror.read(at(1, 2)), [(at(2, 0), Told::NextOwner)]);
    assert_eq!(mirror.read(at(2, 0)), [], "it is said once");
    mirror.take(ring(1, 2, 3).page(at(2, 0)));
    let told = [
        (at(1, 2), Told::Event(line(&2))),
        (at(2, 0), Told::NextOwner),
        (at(2, 2), Told::LeftOut(2)),
        (at(2, 3), Told::Event(line(&3))),
    ];
    assert_eq!(mirror.read(at(1, 1)), told);
}

#[test]
fn lines_of_a_former_owner_that_come_late_are_passed_over() {
    let mut mirror = ring(9, 2, 1);
    mirror.take(ring(9, 1, 5).page(LineCursor::default()));
    assert_eq!((mirror.head(), mirror.read(LineCursor::default()).len()), (at(2, 1), 1));
}

#[test]
fn what_is_kept_is_bounded_by_its_bytes_and_the_last_line_stays() {
    let mut ring = Ring::bounded(100, 1000);
    ring.begin(1);
    for _ in 0..10 {
        ring.publish(line(&"x".repeat(200)));
    }
    assert_eq!(ring.page(LineCursor::default()).lines.len(), 3);
    ring.publish(line(&"x".repeat(5000)));
    assert_eq!(ring.page(LineCursor::default()).lines.len(), 1);
    ring.publish(line(&"short"));
    assert_eq!(ring.page(LineCursor::default()).lines.len(), 1);
}

#[derive(Clone, Debug)]
enum Move {
    Print(u8),
    Mirror,
    Read,
    /// The owner is lost; the mirror has what it had.
    Owner,
    /// The reader's node is lost: the reader goes on at another one.
    Elsewhere,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (1_u8..9).prop_map(Move::Print),
        4 => Just(Move::Mirror),
        4 => Just(Move::Read),
        1 => Just(Move::Owner),
        1 => Just(Move::Elsewhere),
    ];
    prop::collection::vec(one, 0..80)
}

/// What a reader has heard of one owner: the places of lines, and how many were said to be left out before each.
fn check_heard(heard: &[(LineCursor, Told)]) -> Result<(), TestCaseError> {
    let mut place = LineCursor::default();
    for (after, told) in heard {
        match told {
            Told::NextOwner => prop_assert!(after.epoch > place.epoch && after.number == 0, "{heard:?}"),
            Told::Event(event) => {
                prop_assert_eq!(event, &line(&format!("{}/{}", after.epoch, after.number)));
                let epoch = if place.epoch == 0 { after.epoch } else { place.epoch };
                prop_assert_eq!((after.epoch, after.number), (epoch, place.number + 1), "{:?}", heard);
            }
            Told::LeftOut(missing) => {
                prop_assert!(*missing > 0 && after.number == place.number + missing, "{:?}", heard);
            }
        }
        place = *after;
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_reader_hears_every_line_once_and_in_order_or_how_many_it_does_not(moves in moves(), lines_max in 1_usize..12) {
        let mut owner = Ring::bounded(lines_max, usize::MAX);
        owner.begin(1);
        let mut mirror = Ring::bounded(lines_max, usize::MAX);
        let (mut reader, mut heard, mut most) = (LineCursor::default(), Vec::new(), 0_usize);
        for one in moves {
            match one {
                Move::Print(lines) => {
                    for _ in 0..lines {
                        let head = owner.head();
                        owner.publish(line(&format!("{}/{}", head.epoch, head.number + 1)));
                    }
                    most = most.max(owner.page(LineCursor::default()).lines.len());
                }
                Move::Mirror => mirror.take(owner.page(mirror.head())),
                Move::Read => {
                    let told = mirror.read(reader);
                    reader = reader.max(mirror.head());
                    heard.extend(told);
                }
                Move::Owner => {
                    let epoch = owner.head().epoch + 1;
                    owner = Ring::bounded(lines_max, usize::MAX);
                    owner.begin(epoch);
                }
                Move::Elsewhere => mirror = Ring::bounded(lines_max, usize::MAX),
            }
        }
        check_heard(&heard)?;
        prop_assert!(most <= lines_max);
        // With the rest a reader has come as far as the owner.
        mirror.take(owner.page(mirror.head()));
        heard.extend(mirror.read(reader));
        check_heard(&heard)?;
        let last = heard.last().map_or(LineCursor::default(), |(after, _)| *after);
        if owner.head().number > 0 {
            prop_assert_eq!(last, owner.head());
        }
    }

    #[test]
    fn a_reader_that_is_never_overrun_hears_of_nothing_left_out(batches in prop::collection::vec(0_u8..8, 0..40)) {
        let (mut owner, mut mirror) = (Ring::bounded(8, usize::MAX), Ring::bounded(8, usize::MAX));
        owner.begin(3);
        let (mut reader, mut lines) = (LineCursor::default(), 0);
        for batch in batches {
            for _ in 0..batch {
                owner.publish(line(&"x"));
            }
            mirror.take(owner.page(mirror.head()));
            let told = mirror.read(reader);
            prop_assert!(told.iter().all(|(_, told)| matches!(told, Told::Event(_))));
            lines += told.len() as u64;
            reader = reader.max(mirror.head());
        }
        prop_assert_eq!(lines, owner.head().number);
    }
}
