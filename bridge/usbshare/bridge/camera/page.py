"""The page that a person opens: the picture, and one line on how it is."""

from __future__ import annotations

# Addresses are relative and keep the query, which may carry the token.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>usbshare camera</title>
<style>
  html, body { margin: 0; height: 100%; background: #202020; color: #ddd;
    font: 14px/1.6 system-ui, sans-serif }
  body { display: flex; flex-direction: column }
  #picture { flex: 1; min-height: 0; width: 100%; object-fit: contain }
  #state { padding: 0 .6em; white-space: pre; overflow: hidden }
</style>
<img id="picture" alt="the camera's picture">
<div id="state" role="status">connecting</div>
<script>
  const query = location.search, picture = document.getElementById('picture');
  const line = document.getElementById('state');
  const show = () => { picture.src = 'stream' + query; };
  picture.onerror = () => setTimeout(show, 1000);
  show();
  let failed = false;
  async function tell() {
    try {
      const reply = await fetch('state' + query, { cache: 'no-store' });
      if (!reply.ok) throw new Error(await reply.text());
      const now = await reply.json(), age = now.age_ms;
      line.textContent = [now.camera.name || now.camera.id, now.state + (now.reason ? ': ' +
        now.reason : ''), `${now.width_px} x ${now.height_px}`, `${now.fps.toFixed(1)} fps`,
        age && now.state === 'live' ? `age ${age.now.toFixed(0)} ms` : '',
        `${(now.bytes_per_s / 1e6).toFixed(2)} MB/s`].filter(Boolean).join('  ·  ');
      if (failed) show();  // a browser does not open an ended stream again by itself
      failed = false;
    } catch (error) {
      failed = true;
      line.textContent = 'the bridge does not answer: ' + error.message;
    }
    setTimeout(tell, 1000);
  }
  tell();
</script>
"""
