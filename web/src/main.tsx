/** Builds the page: reads the address once, makes the parts, hands them to React. */
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app';
import { Media } from './devices/media';
import { Encryption, partFragment } from './meeting/encryption';
import { readInvitation } from './meeting/invitation';
import { chooseLogs, Meeting } from './meeting/meeting';
import { parseOptions } from './options';
import { parseRoute } from './routes';
import { Crash } from './ui/Crash';
import './styles/index.scss';

const options = parseOptions(location.search);
const route = parseRoute(location.pathname);
const fragment = partFragment(location.hash);
// What the address alone opens may be handed on. An invitation is for one person, and a key is not ours to give away.
const isShareable = location.hash.length < 2;
const invitation = readInvitation(fragment.invitation);

// The invitation and the key are secrets: they must not stay in the address bar, the history or a copied link.
if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
// Opening another invitation to the same room changes only the fragment, which does not reload a page by itself.
addEventListener('hashchange', () => {
  if (location.hash.length > 1) location.reload();
});

chooseLogs(options.debug);
const media = new Media(options);
const encryption = fragment.key === undefined ? undefined : new Encryption(fragment.key);
const meeting = new Meeting(location.origin, options, media, encryption);
if (options.debug) {
  Object.defineProperty(window, '__consilium', {
    value: {
      get room() {
        return meeting.room;
      },
    },
  });
}

const root = document.getElementById('root');
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <Crash>
        <App route={route} options={options} invitation={invitation} isShareable={isShareable} media={media} meeting={meeting} />
      </Crash>
    </StrictMode>,
  );
}
