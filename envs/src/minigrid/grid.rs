//! `Grid`: cells, and what of them the agent sees.

/// Cells in a row of the agent's view, and rows.
pub(super) const VIEW: usize = 7;

/// What a cell holds. The worlds here have one colour of key and door, yellow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Empty,
    Wall,
    Goal,
    Lava,
    Key,
    OpenDoor,
    ClosedDoor,
    LockedDoor,
}

impl Cell {
    const ALL: [Self; 8] = [
        Self::Empty,
        Self::Wall,
        Self::Goal,
        Self::Lava,
        Self::Key,
        Self::OpenDoor,
        Self::ClosedDoor,
        Self::LockedDoor,
    ];

    /// The cell with this number, by which states are saved.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// MiniGrid's code: kind, colour, state.
    #[inline]
    pub(super) fn code(self) -> [u8; 3] {
        match self {
            Self::Empty => [1, 0, 0],
            Self::Wall => [2, 5, 0],
            Self::Goal => [8, 1, 0],
            Self::Lava => [9, 0, 0],
            Self::Key => [5, 4, 0],
            Self::OpenDoor => [4, 4, 0],
            Self::ClosedDoor => [4, 4, 1],
            Self::LockedDoor => [4, 4, 2],
        }
    }

    /// Whether the agent may stand there.
    pub(super) fn can_enter(self) -> bool {
        matches!(self, Self::Empty | Self::Goal | Self::Lava | Self::OpenDoor)
    }

    #[inline]
    fn blocks_sight(self) -> bool {
        matches!(self, Self::Wall | Self::ClosedDoor | Self::LockedDoor)
    }
}

/// A rectangle of cells, `(x, y)` from the upper left.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) cells: Vec<Cell>,
}

/// Where the agent stands and which way it looks: 0 right, 1 down, 2 left, 3 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pose {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) direction: usize,
}

impl Pose {
    /// One step ahead, as `(dx, dy)`.
    pub(super) fn ahead(self) -> (isize, isize) {
        [(1, 0), (0, 1), (-1, 0), (0, -1)][self.direction % 4]
    }

    /// The cell in front. The agent never stands on the border, so that there is one.
    pub(super) fn front(self) -> (usize, usize) {
        let (dx, dy) = self.ahead();
        (self.x.wrapping_add_signed(dx), self.y.wrapping_add_signed(dy))
    }
}

/// What the agent sees, `[column][row]`; it stands in the middle of the last row and looks up. `None`: hidden from it.
pub(super) type View = [[Option<Cell>; VIEW]; VIEW];

impl Grid {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let mut grid = Self { width, height, cells: vec![Cell::Empty; width * height] };
        grid.surround();
        grid
    }

    /// Empties it, up to the wall around it.
    pub(super) fn clear(&mut self) {
        self.cells.fill(Cell::Empty);
        self.surround();
    }

    fn surround(&mut self) {
        for x in 0..self.width {
            self.set(x, 0, Cell::Wall);
            self.set(x, self.height - 1, Cell::Wall);
        }
        for y in 0..self.height {
            self.set(0, y, Cell::Wall);
            self.set(self.width - 1, y, Cell::Wall);
        }
    }

    pub(super) fn is_border(&self, x: usize, y: usize) -> bool {
        x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height
    }

    #[inline]
    pub(super) fn get(&self, x: usize, y: usize) -> Cell {
        self.cells[y * self.width + x]
    }

    pub(super) fn set(&mut self, x: usize, y: usize, cell: Cell) {
        self.cells[y * self.width + x] = cell;
    }

    /// The world's cell that is shown at this place of the view; it may lie outside the grid.
    pub(super) fn seen_at(pose: Pose, column: usize, row: usize) -> (isize, isize) {
        let (dx, dy) = pose.ahead();
        let (right_x, right_y) = (-dy, dx);
        let (forward, right) = ((VIEW - 1 - row) as isize, column as isize - (VIEW / 2) as isize);
        (pose.x as isize + dx * forward + right_x * right, pose.y as isize + dy * forward + right_y * right)
    }

    /// What the agent sees from `pose`; `through_walls`: nothing is hidden.
    pub(super) fn view(&self, pose: Pose, through_walls: bool) -> View {
        let mut cells = [[Cell::Wall; VIEW]; VIEW];
        for (column, cells) in cells.iter_mut().enumerate() {
            for (row, cell) in cells.iter_mut().enumerate() {
                let (x, y) = Self::seen_at(pose, column, row);
                if (0..self.width as isize).contains(&x) && (0..self.height as isize).contains(&y) {
                    *cell = self.get(x as usize, y as usize);
                }
            }
        }
        if through_walls {
            return cells.map(|column| column.map(Some));
        }
        let visible = visible(&cells);
        std::array::from_fn(|column| {
            std::array::from_fn(|row| visible[column][row].then(|| cells[column][row]))
        })
    }
}

/// MiniGrid's spreading of light: row by row away from the agent, to the sides first; what is opaque lights nothing more.
fn visible(cells: &[[Cell; VIEW]; VIEW]) -> [[bool; VIEW]; VIEW] {
    let mut mask = [[false; VIEW]; VIEW];
    mask[VIEW / 2][VIEW - 1] = true;
    for row in (0..VIEW).rev() {
        let mut spread = |column: usize, to: usize| {
            if !mask[column][row] || cells[column][row].blocks_sight() {
                return;
            }
            mask[to][row] = true;
            if row > 0 {
                mask[to][row - 1] = true;
                mask[column][row - 1] = true;
            }
        };
        (0..VIEW - 1).for_each(|column| spread(column, column + 1));
        (1..VIEW).rev().for_each(|column| spread(column, column - 1));
    }
    mask
}
