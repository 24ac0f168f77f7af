// Colours of categories (Okabe and Ito, then lighter and darker ones) and of numbers (cividis), on light and on dark.
const LIGHT = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b98500', '#3a9bd5', '#5d3a9b', '#444444',
  '#7a9e00', '#a63d40', '#00798c', '#8c564b', '#e377c2', '#636efa', '#b6992d', '#86bcb6'];
const DARK = ['#4fb3f0', '#ff8b3d', '#2dd3a0', '#e9a0cc', '#f2c744', '#9adcff', '#b79af0', '#c8c8c8',
  '#b7dd3c', '#f08a8d', '#4cc9d8', '#d3a396', '#f7b6e0', '#a5abff', '#dcc46c', '#b5e0db'];
const CIVIDIS = [[0, 32, 77], [0, 67, 106], [60, 93, 110], [103, 120, 120], [142, 147, 117], [182, 174, 103], [223, 201, 80], [253, 231, 55]];
const KNOWN = {right: 2, agrees: 2, wrong: 1, contradicts: 1};
const NONE = new Set(['', 'not predicted', 'no label']);
const dark = matchMedia('(prefers-color-scheme: dark)');
export const onScheme = act => dark.addEventListener('change', act);
const rgb = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
export const nothing = () => rgb(dark.matches ? '#6b7680' : '#a7b0b8');

export function ofValue(column, code) {
  const value = column.values[code], palette = dark.matches ? DARK : LIGHT;
  if (NONE.has(value)) return nothing();
  if (column.name === 'outcome' || column.name === 'vote_says') return rgb(palette[KNOWN[value] ?? 7]);
  // labels, predictions and votes share the colours of the label's values
  const names = column.shared ?? column.values;
  return rgb(palette[names.filter(each => !NONE.has(each)).indexOf(value) % palette.length]);
}
export function ofNumber(share) {
  const steps = CIVIDIS.length - 1, from = dark.matches ? 1 : 0;  // the darkest is not seen on dark
  const at = from + Math.min(1, Math.max(0, share)) * (steps - from - (dark.matches ? 0 : 0.6));
  const low = Math.floor(at), high = Math.min(steps, low + 1);
  return CIVIDIS[low].map((value, band) => Math.round(value + (at - low) * (CIVIDIS[high][band] - value)));
}
export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
