// Draws all points by WebGL 2 in one call.
const VERTEX = `#version 300 es
in vec2 place; in vec4 colour; uniform vec4 view; uniform float size; out vec4 tint;
void main() {
  tint = colour;
  gl_Position = vec4(place * view.xy + view.zw, 0.0, 1.0);
  gl_PointSize = colour.a > 0.0 ? size : 0.0;
  if (colour.a == 0.0) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float; in vec4 tint; uniform float size; out vec4 drawn;
void main() {
  float away = length(gl_PointCoord - 0.5) * size;
  float inside = clamp(size * 0.5 - away + 0.5, 0.0, 1.0) * 0.85 * tint.a;
  if (inside <= 0.0) discard;
  drawn = vec4(tint.rgb * inside, inside);
}`;

function isSoftware(gl) {  // then canvas.js is faster
  const about = gl.getExtension('WEBGL_debug_renderer_info');
  return /swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
}

export function webgl(canvas, x, y) {
  const gl = canvas.getContext('webgl2', {antialias: false, alpha: true, powerPreference: 'low-power'});
  if (!gl || (isSoftware(gl) && !new URLSearchParams(location.search).has('webgl'))) return null;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  const places = new Float32Array(2 * x.length);
  x.forEach((value, row) => { places[2 * row] = value; places[2 * row + 1] = y[row]; });
  const attribute = (name, data, size, type, scaled) => {
    const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, scaled, 0, 0);
    return buffer;
  };
  attribute('place', places, 2, gl.FLOAT, false);
  const tints = attribute('colour', new Uint8Array(4 * x.length), 4, gl.UNSIGNED_BYTE, true);
  const uniform = name => gl.getUniformLocation(program, name), view = uniform('view'), size = uniform('size');
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  return {
    kind: 'webgl',
    colours(values) {
      gl.bindBuffer(gl.ARRAY_BUFFER, tints);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
    },
    draw({scale, left, top, points}, width, height, ratio) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform4f(view, 2 * scale / width, -2 * scale / height, 2 * left / width - 1, 1 - 2 * top / height);
      gl.uniform1f(size, points * ratio);
      gl.drawArrays(gl.POINTS, 0, x.length);
    },
  };
}
