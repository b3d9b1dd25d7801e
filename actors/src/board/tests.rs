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
