/** The page's own line icons: 24 units square, drawn with the text colour, silent for screen readers. */
import type { ReactNode } from 'react';

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

const MICROPHONE = (
  <>
    <rect x="9" y="3" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M8.5 21h7" />
  </>
);
const CAMERA = (
  <>
    <rect x="2.5" y="6.5" width="12.5" height="11" rx="2" />
    <path d="m15 11 6-3.5v9L15 13" />
  </>
);
const STRIKE = <path d="M4 4l16 16" />;

export const MicrophoneIcon = () => <Icon>{MICROPHONE}</Icon>;
export const MicrophoneOffIcon = () => (
  <Icon>
    {MICROPHONE}
    {STRIKE}
  </Icon>
);
export const CameraIcon = () => <Icon>{CAMERA}</Icon>;
export const CameraOffIcon = () => (
  <Icon>
    {CAMERA}
    {STRIKE}
  </Icon>
);
export const ShareIcon = () => (
  <Icon>
    <rect x="2.5" y="4" width="19" height="13" rx="2" />
    <path d="M8 21h8M12 14V8M9 10.5 12 7.5l3 3" />
  </Icon>
);
export const PeopleIcon = () => (
  <Icon>
    <circle cx="9" cy="8" r="3.5" />
    <path d="M2.5 20a6.5 6.5 0 0 1 13 0M16 4.8a3.5 3.5 0 0 1 0 6.4M17.5 14.2A6.5 6.5 0 0 1 21.5 20" />
  </Icon>
);
export const LeaveIcon = () => (
  <Icon>
    <path d="M13 4H6a1.5 1.5 0 0 0-1.5 1.5v13A1.5 1.5 0 0 0 6 20h7M10 12h10.5M17 8l4 4-4 4" />
  </Icon>
);
export const SettingsIcon = () => (
  <Icon>
    <path d="M4 7h9M18 7h2M4 17h2M11 17h9" />
    <circle cx="15.5" cy="7" r="2.5" />
    <circle cx="8.5" cy="17" r="2.5" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="M5 5l14 14M19 5 5 19" />
  </Icon>
);
export const LinkIcon = () => (
  <Icon>
    <path d="M10 14a4.5 4.5 0 0 0 6.4 0l3-3A4.5 4.5 0 0 0 13 4.6l-1 1M14 10a4.5 4.5 0 0 0-6.4 0l-3 3A4.5 4.5 0 0 0 11 19.4l1-1" />
  </Icon>
);
export const SoundIcon = () => (
  <Icon>
    <path d="M4 9.5h3.5L12 5.5v13l-4.5-4H4zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11" />
  </Icon>
);
