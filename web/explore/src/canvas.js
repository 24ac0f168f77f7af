// Draws all points on a plain canvas, where there is no WebGL: squares, grouped by colour so that the pen changes seldom.
export function plain(canvas, x, y) {
  const pen = canvas.getContext('2d');
  let groups = new Map();
  return {
    kind: 'canvas',
    colours(values) {
      groups = new Map();
      for (let row = 0; row < x.length; row++) {
        if (!values[4 * row + 3]) continue;
        const key = `rgb(${values[4 * row]} ${values[4 * row + 1]} ${values[4 * row + 2]} / ${values[4 * row + 3] / 255})`;
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push(row);
      }
    },
    draw({scale, left, top, points}, width, height, ratio) {
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      pen.globalAlpha = 0.85;
      const half = points / 2;
      for (const [colour, rows] of groups) {
        pen.fillStyle = colour;
        for (const row of rows) {
          const across = x[row] * scale + left, down = y[row] * scale + top;
          if (across < -half || down < -half || across > width + half || down > height + half) continue;
          pen.fillRect(across - half, down - half, points, points);
        }
      }
    },
  };
}
