import { expect, it } from 'vitest';
import { bestGrid } from './grid';

const GAP = 8;

it('always has a place for everybody, inside the width', () => {
  for (const width of [304, 640, 1366, 1920]) {
    for (const height of [120, 400, 700, 1000]) {
      for (let count = 1; count <= 40; count += 1) {
        const grid = bestGrid(count, { width, height }, GAP);
        const where = `${count} in ${width} x ${height}`;
        expect(grid.columns * grid.rows, where).toBeGreaterThanOrEqual(count);
        expect((grid.rows - 1) * grid.columns, where).toBeLessThan(count);
        expect(grid.columns * grid.width + (grid.columns - 1) * GAP, where).toBeLessThanOrEqual(width);
        expect(grid.width, where).toBeGreaterThanOrEqual(Math.min(130, width));
      }
    }
  }
});

it('stacks two people on a phone and puts them side by side on a desk', () => {
  expect(bestGrid(2, { width: 304, height: 500 }, GAP).columns).toBe(1);
  expect(bestGrid(2, { width: 1366, height: 600 }, GAP).columns).toBe(2);
  expect(bestGrid(9, { width: 1920, height: 1000 }, GAP).columns).toBe(3);
});

it('survives a window without room', () => {
  for (const space of [{ width: 0, height: 0 }, { width: 10, height: 900 }, { width: 900, height: 0 }]) {
    const grid = bestGrid(3, space, GAP);
    expect(Number.isFinite(grid.width) && Number.isFinite(grid.height)).toBe(true);
    expect(grid.columns).toBeGreaterThanOrEqual(1);
  }
});
