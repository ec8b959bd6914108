"""A small GTFS feed: a straight street, a loop, a trip by frequency, one without a shape."""

from __future__ import annotations

import zipfile
from pathlib import Path

FILES = {
    "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\nA,Town,,Europe/Berlin\n",
    "routes.txt": "route_id,agency_id,route_short_name,route_type\nr1,A,7,3\nr2,A,T,0\n",
    "calendar.txt": (
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
        "wk,1,1,1,1,1,0,0,20180101,20181231\n"
        "we,0,0,0,0,0,1,1,20270101,20291231\n"
    ),
    "calendar_dates.txt": "service_id,date,exception_type\nwk,20180501,2\nx,20280229,1\n",
    "trips.txt": (
        "route_id,service_id,trip_id,shape_id\n"
        "r1,wk,t1,S\nr1,we,loop,O\nr1,wk,f1,S\nr1,x,bare,\nr2,wk,tram,\n"
    ),
    "stops.txt": (
        "stop_id,stop_name,stop_lat,stop_lon\n"
        "A,Abbey,50.0,8.0\nB,Bridge,50.002,8.0001\nC,Castle,50.006,8.0\nD,Dock,50.01,8.0\n"
        "E,East,50.005,8.01\n"
    ),
    "stop_times.txt": (
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
        "t1,8:00:00,8:00:20,A,10\nt1,,,B,20\nt1,8:05:00,8:05:30,C,30\nt1,8:07:00,8:07:30,D,40\n"
        "loop,25:10:00,25:10:00,A,1\nloop,25:14:00,25:14:00,D,2\nloop,25:17:00,25:17:00,E,3\n"
        "loop,25:20:00,25:20:00,A,4\n"
        "f1,0:00:00,0:00:00,A,1\nf1,0:03:00,0:03:00,C,2\nf1,0:06:00,0:06:00,D,3\n"
        "bare,8:00:00,8:00:00,A,1\nbare,8:10:00,8:10:00,E,2\nbare,8:15:00,8:15:00,D,3\n"
        "tram,8:00:00,8:00:00,A,1\ntram,8:10:00,8:10:00,E,2\n"
    ),
    "shapes.txt": (
        "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n"
        "S,50.0,8.0,1\nS,50.004,8.0,2\nS,50.01,8.0,3\n"
        "O,50.0,8.0,1\nO,50.01,8.0,2\nO,50.005,8.01,3\nO,50.0,8.0,4\n"
    ),
    "frequencies.txt": (
        "trip_id,start_time,end_time,headway_secs\nf1,6:00:00,7:00:00,600\n"
        "f1,23:30:00,25:00:00,900\n"
    ),
}


def feed(directory: Path, **changed: str | None) -> Path:
    """The feed as a ZIP file, with some files changed, or left out where None."""
    path = directory / "town.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (FILES | changed).items():
            if text is not None:
                archive.writestr(name, text)
    return path
