// Bundles src/ into the one file that the package ships. Its first line has the digest of the sources, which a test compares.
import {createHash} from 'node:crypto';
import {readFileSync, readdirSync} from 'node:fs';
import {build} from 'esbuild';

const digest = createHash('sha256');
for (const name of readdirSync('src').sort()) digest.update(readFileSync(`src/${name}`));
digest.update(readFileSync('package.json'));
await build({
  entryPoints: ['src/main.js'],
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['es2022'],
  charset: 'ascii',
  legalComments: 'inline',
  outfile: '../explore.js',
  banner: {js: `/* sources ${digest.digest('hex')}; d3 (ISC), kdbush (ISC): see contrastive_cxr/explore/page/source/README.md */`},
});
