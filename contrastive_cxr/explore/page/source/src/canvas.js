// Draws all points on a plain canvas, pixel by pixel: where there is no WebGL, or where it is software, which takes
// microseconds a point, a hundred times what writing its pixels here takes.
export function plain(canvas, x, y) {
  const pen = canvas.getContext('2d');
  let colours = new Uint32Array(x.length), image = null, pixels = null, faint = false;
  return {
    kind: 'canvas',
    colours(values) {
      colours = new Uint32Array(values.slice().buffer);
      faint = colours.some(each => each >>> 24 && each >>> 24 < 255);
    },
    draw({scale, left, top, points}, width, height, ratio) {
      const wide = canvas.width, high = canvas.height;
      if (!image || image.width !== wide || image.height !== high) {
        image = pen.createImageData(wide, high);
        pixels = new Uint32Array(image.data.buffer);
      }
      pixels.fill(0);
      const radius = Math.max(1, points * ratio / 2), reach = Math.floor(radius);
      const halves = Array.from({length: 2 * reach + 1}, (_, at) => Math.round(Math.sqrt(Math.max(0, radius * radius - (at - reach) ** 2)) - 0.25));
      for (const least of faint ? [1, 255] : [1]) {  // what is selected lies on top
        const most = faint && least === 1 ? 254 : 255;
        for (let row = 0; row < x.length; row++) {
          const colour = colours[row], alpha = colour >>> 24;
          if (alpha < least || alpha > most) continue;
          const across = Math.round((x[row] * scale + left) * ratio), down = Math.round((y[row] * scale + top) * ratio);
          if (across < -reach || down < -reach || across >= wide + reach || down >= high + reach) continue;
          for (let line = -reach; line <= reach; line++) {
            const at = down + line, half = halves[line + reach];
            if (at < 0 || at >= high) continue;
            const from = at * wide + Math.max(0, across - half), to = at * wide + Math.min(wide - 1, across + half);
            for (let pixel = from; pixel <= to; pixel++) pixels[pixel] = colour;
          }
        }
      }
      pen.putImageData(image, 0, 0);
    },
  };
}
