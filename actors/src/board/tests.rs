use super::*;

const NO_TIME: Duration = Duration::ZERO;
/// Longer than any test: what is waited for comes.
const LONG: Duration = Duration::from_secs(3600);

fn board() -> Arc<Board> {
    let board = Board::new(Instant::now());
    board.begin(3);
    board
}

fn line(text: &str, total_bytes: u64) -> PrintedLine {
    PrintedLine { worker: "w".to_owned(), text: text.to_owned(), dropped_bytes: 0, total_bytes }
}

fn question(id: u64) -> Question {
    Question { worker: "w".to_owned(), id, index: 0, body: Bytes::new() }
}

fn at(epoch: u64, number: u64) -> LineCursor {
    LineCursor { epoch, number }
}

#[tokio::test]
async fn a_board_on_which_no_owner_counts_has_no_lines() {
    let board = Board::new(Instant::now());
    assert_eq!(board.lines(LineCursor::default(), NO_TIME).await, None);
    board.begin(1);
    assert_eq!(board.lines(LineCursor::default(), NO_TIME).await.map(|page| page.head), Some(at(1, 0)));
}

#[tokio::test]
async fn a_reader_that_waits_hears_of_a_line_and_one_without_time_gets_what_is_there() {
    let board = board();
    assert_eq!(board.lines(at(3, 0), NO_TIME).await.map(|page| page.lines.len()), Some(0));
    let waiting = {
        let board = Arc::clone(&board);
        tokio::spawn(async move { board.lines(at(3, 0), LONG).await })
    };
    tokio::task::yield_now().await;
    board.publish(BoardEvent::Warning("a".to_owned()));
    let page = waiting.await.expect("it ends").expect("the run is executed here");
    assert_eq!(page.lines, [(at(3, 1), BoardEvent::Warning("a".to_owned()))]);
}

#[tokio::test]
async fn what_is_lost_between_nodes_is_counted_and_said() {
    let board = board();
    assert_eq!(board.arrived(NodeId(2), 3, line("one\n", 4)), 0);
    assert_eq!(board.arrived(NodeId(2), 3, line("four\n", 30)), 21);
    assert_eq!(board.all_arrived(NodeId(2), 3, 40), 10);
    assert_eq!(board.all_arrived(NodeId(2), 3, 40), 0, "nothing else is lost");
    let page = board.lines(LineCursor::default(), NO_TIME).await.expect("lines");
    let shown: Vec<String> = page.lines.iter().map(|(_, event)| format!("{event:?}")).collect();
    assert!(shown[1].contains("dropped_bytes: 21"), "{shown:?}");
    assert!(shown[2].contains("10 bytes") && shown.len() == 3, "{shown:?}");
}

#[tokio::test]
async fn a_line_of_a_worker_of_a_former_owner_is_passed_over() {
    let board = board();
    assert_eq!(board.arrived(NodeId(2), 2, line("late\n", 100)), 0);
    assert_eq!(board.lines(LineCursor::default(), NO_TIME).await.map(|page| page.lines.len()), Some(0));
}

#[test]
fn late_prints_are_waited_for_only_where_other_nodes_have_workers() {
    let board = board();
    assert_eq!(board.late_prints(), Duration::ZERO);
    board.spread();
    assert!(board.late_prints() > Duration::ZERO);
}

#[tokio::test]
async fn the_driver_that_came_last_is_asked_and_under_another_owner_from_the_beginning() {
    let board = board();
    board.ask(question(1));
    let (epoch, asked) = board.questions(1, LineCursor::default(), LONG).await.expect("the driver");
    assert_eq!((epoch, asked[0].0, asked.len()), (3, 1, 1));
    assert_eq!(board.questions(1, at(3, 1), NO_TIME).await, Ok((3, Vec::new())));
    assert_eq!(board.questions(1, at(2, 9), NO_TIME).await.map(|(_, asked)| asked.len()), Ok(1));
    assert_eq!(board.questions(2, LineCursor::default(), NO_TIME).await.map(|(_, asked)| asked.len()), Ok(1));
    assert_eq!(board.questions(1, at(3, 1), LONG).await, Err(Replaced));
    assert!(board.answered("w", 1) && !board.answered("w", 1));
}

#[tokio::test]
async fn a_driver_that_comes_is_asked_at_once_and_the_one_before_it_hears_that() {
    let board = board();
    let first = board.welcome().expect("it is executed");
    let waiting = {
        let board = Arc::clone(&board);
        tokio::spawn(async move { board.questions(first, LineCursor::default(), LONG).await })
    };
    tokio::task::yield_now().await;
    let second = board.welcome().expect("it is executed");
    assert_eq!(waiting.await.expect("it ends"), Err(Replaced));
    board.ask(question(1));
    assert_eq!(board.questions(second, LineCursor::default(), NO_TIME).await.map(|(_, asked)| asked.len()), Ok(1));
    assert_eq!(Board::new(Instant::now()).welcome(), None, "nothing is executed there");
}

#[tokio::test]
async fn nobody_is_asked_what_workers_of_an_execution_that_has_ended_wanted_to_know() {
    let asked =
        async |board: &Board| board.questions(1, LineCursor::default(), NO_TIME).await.map(|(_, asked)| asked.len());
    let board = board();
    board.ask(question(1));
    board.forget_questions_of(2);
    assert_eq!(asked(&board).await, Ok(1), "another execution's end");
    board.forget_questions_of(3);
    assert_eq!(asked(&board).await, Ok(0));
    board.ask(question(2));
    board.begin(3);
    assert_eq!(asked(&board).await, Ok(0), "it has begun again");
}

#[tokio::test]
async fn a_run_that_begins_again_under_its_epoch_goes_on_behind_the_places_that_its_readers_have_reached() {
    let warning = |text: &str| BoardEvent::Warning(text.to_owned());
    let boards = Boards::default();
    let first = board();
    boards.insert(RunId(1), Arc::clone(&first));
    first.publish(warning("before"));
    first.ask(question(1));
    assert_eq!(first.arrived(NodeId(2), 3, line("one\n", 4)), 0);
    first.forget_questions_of(3);

    let again = boards.begun(RunId(1), 3).expect("it has begun under this epoch");
    again.begin(3);
    again.publish(warning("after"));
    let page = again.lines(at(3, 2), NO_TIME).await.expect("lines");
    assert_eq!(page.lines, [(at(3, 3), warning("after"))]);
    again.ask(question(2));
    let (_, asked) = again.questions(1, at(3, 1), NO_TIME).await.expect("the driver");
    assert_eq!(asked, [(2, question(2))], "a driver that has heard the first one hears it");
    assert_eq!(again.arrived(NodeId(2), 3, line("two\n", 8)), 0, "nothing is lost of a part that goes on");

    assert!(boards.begun(RunId(1), 4).is_none(), "under another epoch all is counted anew");
    assert!(boards.begun(RunId(2), 3).is_none());
}

#[test]
fn numbers_of_a_peer_that_are_too_great_to_be_added_do_no_harm() {
    let board = board();
    let dropped = PrintedLine { dropped_bytes: u64::MAX, ..line("a\n", 1) };
    assert_eq!(board.arrived(NodeId(2), 3, dropped), 0);
    assert_eq!(board.arrived(NodeId(2), 3, line("a\n", u64::MAX)), u64::MAX - 3);
}

#[test]
fn the_board_of_a_run_that_goes_on_is_kept_however_many_runs_come_after_it() {
    let boards = Boards::default();
    let going_on = board();
    boards.insert(RunId(1), Arc::clone(&going_on));
    let all = 3 * BOARDS_MAX as u128;
    (2..=all).for_each(|run| boards.insert(RunId(run), board()));
    assert!(boards.get(RunId(1)).is_some_and(|board| Arc::ptr_eq(&board, &going_on)));
    let kept = (2..=all).filter(|run| boards.get(RunId(*run)).is_some()).count();
    assert_eq!(kept, BOARDS_MAX - 1);
    assert!(boards.get(RunId(2)).is_none() && boards.get(RunId(all)).is_some(), "the oldest go");
}

#[test]
fn boards_of_runs_that_went_on_together_go_when_they_have_ended() {
    let boards = Boards::default();
    let going_on: Vec<_> = (0..2 * BOARDS_MAX as u128).map(|run| (RunId(run), board())).collect();
    going_on.iter().for_each(|(run, board)| boards.insert(*run, Arc::clone(board)));
    assert!(going_on.iter().all(|(run, _)| boards.get(*run).is_some()));
    drop(going_on);
    boards.insert(RunId(u128::MAX), board());
    assert_eq!(boards.boards.lock().expect("a lock").len(), BOARDS_MAX);
}
