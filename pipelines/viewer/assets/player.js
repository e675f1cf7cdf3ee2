/* What gives the time: the video where it can be played, a clock of its own where it cannot. */
class Player {
  constructor(report, screen, onTime) {
    this.duration = Math.max(report.video.duration_s, 1e-3);
    this.frame_s = report.video.fps > 0 ? 1 / report.video.fps : 0.04;
    this.screen = screen;
    this.onTime = onTime;
    this.video = null;
    this.shows = 'nothing';
    this.time = 0;
    this.playing = false;
    this.rate = 1;
  }

  /* Show what lies at an address; the promise says whether it can be shown. */
  show(kind, address) {
    return new Promise(done => {
      if (kind === 'none') { done(false); return; }
      const image = kind === 'image';
      const made = element(image ? 'img' : 'video', image ? {alt: ''} : {muted: true, playsInline: true, preload: 'auto', tabIndex: -1});
      made.addEventListener(image ? 'load' : 'loadeddata', () => { this.shows = kind; this.take(image ? null : made); done(true); }, {once: true});
      made.addEventListener('error', () => { made.remove(); this.video = null; done(false); }, {once: true});
      this.screen.replaceChildren(made);
      made.src = address;
    });
  }

  take(video) {
    this.video = video;
    if (!video) return;
    video.playbackRate = this.rate;
    video.currentTime = this.time;
    video.addEventListener('ended', () => { this.playing = false; this.tell(); });
    if (video.requestVideoFrameCallback) this.watch(video);
    for (const event of ['seeked', 'pause', 'play']) video.addEventListener(event, () => this.tell());
  }

  /* Note the time of the frame that is on the screen, which the video's own clock runs ahead of. */
  watch(video) {
    video.requestVideoFrameCallback((now, {mediaTime}) => { this.seen = mediaTime; if (this.video === video) this.watch(video); });
  }

  get videoTime() {
    const own = this.video.currentTime;
    return Math.abs(this.seen - own) < 0.2 ? this.seen : own;
  }

  tell() { this.onTime(this.time, this.playing); }

  seek(time) {
    this.time = Math.min(Math.max(0, time), this.duration);
    if (this.video) this.video.currentTime = Math.min(this.time + 1e-4, this.video.duration || this.time);
    this.tell();
  }

  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.time >= this.duration - this.frame_s) this.seek(0);
    if (this.video && this.playing) this.video.play().catch(() => { this.playing = false; this.tell(); });
    if (this.video && !this.playing) this.video.pause();
    this.before = performance.now();
    if (this.playing) requestAnimationFrame(now => this.step(now));
    this.tell();
  }

  step(now) {
    if (!this.playing) return;
    if (this.video) this.time = this.videoTime;
    else this.time = Math.min(this.duration, this.time + (now - this.before) / 1000 * this.rate);
    this.before = now;
    if (!this.video && this.time >= this.duration) this.playing = false;
    this.tell();
    if (this.playing) requestAnimationFrame(later => this.step(later));
  }

  setRate(rate) {
    this.rate = rate;
    if (this.video) this.video.playbackRate = rate;
  }
}
