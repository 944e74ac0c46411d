/** How many columns make the tiles of a meeting as large as possible. Arithmetic only. */

export interface Grid {
  columns: number;
  rows: number;
  width: number;
  height: number;
}

export interface Space {
  width: number;
  height: number;
}

/** Cameras are wide; a tile may become squarer than its picture, down to this ratio, before it becomes smaller. */
const RATIO_WIDEST = 16 / 9;
const RATIO_NARROWEST = 1;
/** Below this a face cannot be read: the grid scrolls instead. */
const TILE_WIDTH_MIN = 136;

/** The layout with the largest tiles; fewer columns win a tie, because faces in a row are read from the left. */
export function bestGrid(count: number, space: Space, gap: number): Grid {
  const tiles = Math.max(1, Math.floor(count));
  let best: Grid = { columns: 1, rows: tiles, width: 0, height: 0 };
  for (let columns = 1; columns <= tiles; columns += 1) {
    const rows = Math.ceil(tiles / columns);
    const size = tileSize((space.width - gap * (columns - 1)) / columns, (space.height - gap * (rows - 1)) / rows);
    if (size.width * size.height > best.width * best.height * 1.01) best = { columns, rows, ...size };
  }
  return best.width >= TILE_WIDTH_MIN ? best : scrolling(tiles, space, gap);
}

function tileSize(width: number, height: number): Space {
  const w = Math.max(0, Math.min(width, height * RATIO_WIDEST));
  return { width: Math.floor(w), height: Math.floor(Math.max(0, Math.min(height, w / RATIO_NARROWEST))) };
}

function scrolling(tiles: number, space: Space, gap: number): Grid {
  const columns = Math.max(1, Math.min(tiles, Math.floor((space.width + gap) / (TILE_WIDTH_MIN + gap))));
  const width = Math.max(0, Math.floor((space.width - gap * (columns - 1)) / columns));
  return { columns, rows: Math.ceil(tiles / columns), width, height: Math.floor(width / RATIO_NARROWEST) };
}
