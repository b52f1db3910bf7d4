// The passages of an index in the plane, on a canvas: zoom, pan, colours, the hits lit up.

const SIDE = 65535;
const CELLS = 64; // a side of the grid by which the nearest point is found
const NEAR = 14; // pixels
const DISCS = 5000; // points; more are drawn as squares
const DIMMED = 0.25;
const SHOWN = 0.85;
const PADDING = 28;
const OTHER = 0;

function column(base64, Numbers) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Numbers(bytes.buffer);
}

// [order, starts]: places sorted by a number that each has, below `count`.
function sorted(numbers, count) {
  const starts = new Uint32Array(count + 1);
  for (const number of numbers) starts[number + 1] += 1;
  for (let i = 0; i < count; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  const order = new Uint32Array(numbers.length);
  numbers.forEach((number, place) => (order[next[number]++] = place));
  return [order, starts];
}

// Two colours, #rrggbb, as one pixel of an image: of the first so much.
function mixed(first, second, share) {
  const parts = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const below = parts(second);
  const [red, green, blue] = parts(first).map((one, i) => one * share + below[i] * (1 - share));
  new DataView(word).setUint32(0, (red << 24) | (green << 16) | (blue << 8) | 255);
  return new Uint32Array(word)[0];
}

const word = new ArrayBuffer(4);

export class PassageMap {
  // `open(document, [start, end])` is called for a point that is chosen.
  constructor(section, open) {
    this.open = open;
    this.plane = section.querySelector('.plane');
    this.canvas = section.querySelector('canvas');
    this.tip = section.querySelector('.tip');
    this.legend = section.querySelector('.legend');
    this.by = section.querySelector('select');
    this.context = this.canvas.getContext('2d');
    this.points = null;
    this.hits = []; // {place, rank}
    this.only = null;
    this.near = -1;
    this.pointers = new Map();
    this.#listen(section);
  }

  // What the server sends: see docs/page.md.
  show(map) {
    const points = map.points;
    this.documents = map.documents;
    this.colours = map.colours.map((colour) => ({ ...colour, of: column(colour.of, Uint8Array) }));
    this.points = {
      x: column(points.x, Uint16Array),
      y: column(points.y, Uint16Array),
      id: column(points.id, Float64Array),
      document: column(points.document, Uint32Array),
      start: column(points.start, Float64Array),
      end: column(points.end, Float64Array),
      line: column(points.line, Uint32Array),
    };
    const { x, y, id } = this.points;
    this.count = x.length;
    this.placeOf = new Map(Array.from(id, (one, place) => [one, place]));
    const cell = (at) => Math.min(CELLS - 1, Math.floor((at * CELLS) / (SIDE + 1)));
    const cells = Uint16Array.from(x, (at, place) => cell(y[place]) * CELLS + cell(at));
    [this.inCells, this.cellStarts] = sorted(cells, CELLS * CELLS);
    const greatest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), 0);
    this.extent = [greatest(x), greatest(y)];
    const names = this.colours.map((colour) => colour.name ?? 'folder');
    this.by.replaceChildren(...names.map((name, place) => new Option(name, place)));
    this.by.parentElement.hidden = !names.length;
    this.#colour(0);
    this.whole();
  }

  // Light up the passages of these ids, best first; how many of them are on the map.
  light(ids) {
    if (!this.points) return 0;
    this.hits = ids
      .map((id, rank) => ({ place: this.placeOf.get(id), rank: rank + 1 }))
      .filter((hit) => hit.place !== undefined);
    this.near = -1;
    this.#tell();
    this.#draw();
    return this.hits.length;
  }

  // See all of it.
  whole() {
    const [width, height] = this.#size();
    const [across, down] = this.extent;
    const room = (pixels) => Math.max(pixels - 2 * PADDING, 1);
    this.least = Math.min(room(width) / (across || SIDE), room(height) / (down || SIDE));
    this.scale = this.least;
    this.left = (width - across * this.scale) / 2;
    this.top = (height - down * this.scale) / 2;
    this.#draw();
  }

  #colour(place) {
    const colour = this.colours[place];
    const labels = colour ? colour.labels : [];
    const { document } = this.points;
    const classes = Uint8Array.from(document, (one) => (colour ? colour.of[one] : OTHER));
    this.classes = classes;
    [this.order, this.starts] = sorted(classes, labels.length + 1);
    this.only = null;
    const entries = labels.map((label, i) => [i + 1, String(label)]);
    if (colour && this.starts[1] > 0) entries.push([OTHER, 'none of these']);
    this.legend.replaceChildren(
      ...entries.map(([number, label]) => {
        const item = window.document.createElement('li');
        const button = item.appendChild(window.document.createElement('button'));
        button.type = 'button';
        button.setAttribute('aria-pressed', 'false');
        button.append(window.document.createElement('i'), label);
        button.firstChild.className = `c${number}`;
        button.addEventListener('click', () => this.#isolate(number, button));
        return item;
      }),
    );
  }

  #isolate(number, button) {
    this.only = this.only === number ? null : number;
    for (const other of this.legend.querySelectorAll('button')) {
      other.setAttribute('aria-pressed', String(other === button && this.only !== null));
    }
    this.#draw();
  }

  #size() {
    return [this.plane.clientWidth, this.plane.clientHeight];
  }

  #at(place) {
    const { x, y } = this.points;
    return [x[place] * this.scale + this.left, y[place] * this.scale + this.top];
  }

  // Soon, and once however often it is asked for.
  #draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.points) this.#paint();
    });
  }

  #paint() {
    const { context, canvas } = this;
    const [width, height] = this.#size();
    const dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    context.setTransform(dense, 0, 0, dense, 0, 0);
    const style = getComputedStyle(this.plane);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const size = Math.max(1.2, 4.6 - Math.log10(this.count + 1) * 0.75);
    const radius = size * Math.min(2.2, (this.scale / this.least) ** 0.3);
    if (this.count > DISCS) this.#paintSquares(radius, dense, colour);
    else this.#paintDiscs(radius, colour);
    for (const hit of this.hits.toReversed()) this.#paintHit(hit, radius, colour, style);
    if (this.near >= 0) {
      context.strokeStyle = colour('ink');
      context.lineWidth = 1.5;
      this.#circle(this.near, radius + 5);
      context.stroke();
    }
  }

  #opacity(number) {
    const dimmed = this.only === null ? this.hits.length > 0 : this.only !== number;
    return dimmed ? DIMMED : SHOWN;
  }

  #paintDiscs(radius, colour) {
    const { context } = this;
    for (let number = 0; number + 1 < this.starts.length; number++) {
      context.fillStyle = colour(`c${number}`);
      context.globalAlpha = this.#opacity(number);
      context.beginPath();
      for (let i = this.starts[number]; i < this.starts[number + 1]; i++) {
        const [across, down] = this.#at(this.order[i]);
        context.moveTo(across + radius, down);
        context.arc(across, down, radius, 0, 2 * Math.PI);
      }
      context.fill();
    }
    context.globalAlpha = 1;
  }

  // Pixel by pixel: a hundred thousand take milliseconds, also where no graphics card helps.
  #paintSquares(radius, dense, colour) {
    const { context, canvas, order, starts } = this;
    const { x, y } = this.points;
    const { width, height } = canvas;
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const side = Math.max(1, Math.round(2 * radius * dense));
    const [scale, left, top] = [this.scale, this.left, this.top].map((one) => one * dense);
    for (let number = 0; number + 1 < starts.length; number++) {
      const pixel = mixed(colour(`c${number}`), colour('paper'), this.#opacity(number));
      for (let i = starts[number]; i < starts[number + 1]; i++) {
        const column = Math.round(x[order[i]] * scale + left - side / 2);
        const row = Math.round(y[order[i]] * scale + top - side / 2);
        if (column < 0 || row < 0 || column + side > width || row + side > height) continue;
        for (let down = row; down < row + side; down++) {
          const at = down * width + column;
          for (let across = at; across < at + side; across++) pixels[across] = pixel;
        }
      }
    }
    context.putImageData(image, 0, 0);
  }

  #paintHit({ place, rank }, radius, colour, style) {
    const { context } = this;
    const [across, down] = this.#at(place);
    context.fillStyle = colour('paper');
    this.#circle(place, radius + 4.5);
    context.fill();
    context.strokeStyle = colour('accent');
    context.lineWidth = rank === 1 ? 2.5 : 1.5;
    context.stroke();
    context.fillStyle = colour(`c${this.classes[place]}`);
    this.#circle(place, radius + 1.5);
    context.fill();
    if (rank > 5) return;
    context.font = `600 12px ${style.fontFamily}`;
    context.fillStyle = colour('ink');
    context.strokeStyle = colour('paper');
    context.lineWidth = 3;
    context.strokeText(rank, across + radius + 8, down + 4);
    context.fillText(rank, across + radius + 8, down + 4);
  }

  #circle(place, radius) {
    const [across, down] = this.#at(place);
    this.context.beginPath();
    this.context.arc(across, down, radius, 0, 2 * Math.PI);
  }

  // The place of the point next to a pixel, -1 where none is near.
  #nearest(across, down) {
    if (!this.points) return -1;
    const { x, y } = this.points;
    const [worldX, worldY] = [(across - this.left) / this.scale, (down - this.top) / this.scale];
    const reach = NEAR / this.scale;
    const cell = (at) => Math.max(0, Math.min(CELLS - 1, Math.floor((at * CELLS) / (SIDE + 1))));
    let best = -1;
    let least = reach * reach;
    for (let row = cell(worldY - reach); row <= cell(worldY + reach); row++) {
      for (let col = cell(worldX - reach); col <= cell(worldX + reach); col++) {
        const number = row * CELLS + col;
        for (let i = this.cellStarts[number]; i < this.cellStarts[number + 1]; i++) {
          const place = this.inCells[i];
          const distance = (x[place] - worldX) ** 2 + (y[place] - worldY) ** 2;
          if (distance <= least) [best, least] = [place, distance];
        }
      }
    }
    return best;
  }

  #point(place) {
    if (place === this.near) return;
    this.near = place;
    this.canvas.classList.toggle('on', place >= 0);
    this.#tell();
    this.#draw();
  }

  #tell() {
    this.tip.hidden = this.near < 0;
    if (this.near < 0) return;
    const [id, title] = this.documents[this.points.document[this.near]];
    const [name, where] = this.tip.children;
    name.textContent = title || id;
    where.textContent = `${id}:${this.points.line[this.near]}`;
    const [across, down] = this.#at(this.near);
    const [width, height] = this.#size();
    const { offsetWidth, offsetHeight } = this.tip;
    const left = Math.max(4, Math.min(across + 12, width - offsetWidth - 4));
    const top = down + 14 + offsetHeight > height ? down - offsetHeight - 12 : down + 14;
    this.tip.style.transform = `translate(${left}px, ${Math.max(4, top)}px)`;
  }

  #choose(place) {
    if (place < 0) return;
    const { document, start, end } = this.points;
    this.open(this.documents[document[place]][0], [start[place], end[place]]);
  }

  // Make it `factor` times as large around a pixel.
  #zoom(factor, across, down) {
    const scale = Math.max(this.least / 2, Math.min(this.least * 400, this.scale * factor));
    this.left = across - ((across - this.left) * scale) / this.scale;
    this.top = down - ((down - this.top) * scale) / this.scale;
    this.scale = scale;
    this.#tell();
    this.#draw();
  }

  #pan(across, down) {
    this.left += across;
    this.top += down;
    this.#tell();
    this.#draw();
  }

  #listen(section) {
    const { canvas } = this;
    this.by.addEventListener('change', () => {
      this.#colour(Number(this.by.value));
      this.#draw();
    });
    section.querySelector('.whole').addEventListener('click', () => this.whole());
    canvas.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
        const factor = Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002));
        if (this.points) this.#zoom(factor, event.offsetX, event.offsetY);
      },
      { passive: false },
    );
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.moved = this.pointers.size > 1;
    });
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const name of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(name, (event) => {
        const held = this.pointers.delete(event.pointerId);
        if (name === 'pointerup' && held && !this.moved && this.points) {
          this.#point(this.#nearest(event.offsetX, event.offsetY));
          this.#choose(this.near);
        }
      });
    }
    canvas.addEventListener('pointerleave', () => this.#point(-1));
    canvas.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.points && this.whole()).observe(this.plane);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  #move(event) {
    if (!this.points) return;
    const now = [event.offsetX, event.offsetY];
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.#point(this.#nearest(...now));
      return;
    }
    if (this.pointers.size === 1) {
      const [across, down] = [now[0] - before[0], now[1] - before[1]];
      if (!this.moved && Math.hypot(across, down) < 4) return;
      this.moved = true;
      this.#pan(across, down);
    } else if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map((p) => p[1]);
      const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
      this.#pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      this.#zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    this.pointers.set(event.pointerId, now);
  }

  #key(event) {
    if (!this.points || event.ctrlKey || event.metaKey || event.altKey) return;
    const [width, height] = this.#size();
    const step = 60;
    const actions = {
      ArrowLeft: () => this.#pan(step, 0),
      ArrowRight: () => this.#pan(-step, 0),
      ArrowUp: () => this.#pan(0, step),
      ArrowDown: () => this.#pan(0, -step),
      '+': () => this.#zoom(1.4, width / 2, height / 2),
      '=': () => this.#zoom(1.4, width / 2, height / 2),
      '-': () => this.#zoom(1 / 1.4, width / 2, height / 2),
      0: () => this.whole(),
      n: () => this.#step(1),
      p: () => this.#step(-1),
      Enter: () => this.#choose(this.near),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  #step(by) {
    if (!this.hits.length) return;
    const now = this.hits.findIndex((hit) => hit.place === this.near);
    const next = now < 0 ? (by > 0 ? 0 : this.hits.length - 1) : now + by;
    this.#point(this.hits[(next + this.hits.length) % this.hits.length].place);
  }
}
